// SPDX-License-Identifier: MIT
// A request of the kernel that is under way, and the right to answer it.
#pragma once

#include <atomic>
#include <cstdint>
#include <fuse_lowlevel.h>

namespace vmemfs {

class VmRequests;

enum class RequestKind : unsigned char {
  ordinary,
  for_mapping, ///< a read of a page of a mapping
  command,     ///< a write to another file than memory; may be the command that detaches the VM
};

/// Whoever works on a request and whoever gives it up for its caller both want to answer it: claim() lets one
/// of them. A slot is used for one request after another, each with a ticket of its own, so that a claim that
/// comes late does not meet the next one. Thread-safe, but for begin() and open(), which are the worker's.
class RequestSlot {
public:
  using Ticket = std::uint64_t;

  /// What a slot had in it at one moment.
  struct View {
    Ticket ticket;
    fuse_req_t request; ///< null: nothing that waits for an answer
    const VmRequests* of;
    RequestKind kind;
    std::int64_t since_ns; ///< on the steady clock
  };

  /// Puts a request in. Others find it now, but claim() fails until open().
  Ticket begin(fuse_req_t request, const VmRequests* of, RequestKind kind, std::int64_t now_ns);
  void open(Ticket ticket) { state_.store(ticket | kOpen); }

  /// True for one caller, which then answers the request.
  [[nodiscard]] bool claim(Ticket ticket) {
    std::uint64_t open = ticket | kOpen;
    return state_.compare_exchange_strong(open, ticket);
  }

  [[nodiscard]] View view() const;
  /// Answered, or no longer in this slot.
  [[nodiscard]] bool is_done(Ticket ticket) const {
    const std::uint64_t state = state_.load();
    return state != (ticket | kBegun) && state != (ticket | kOpen);
  }

private:
  // In the lowest bits of the state; the others are the ticket.
  static constexpr std::uint64_t kBegun = 1;
  static constexpr std::uint64_t kOpen = 2;
  static constexpr std::uint64_t kNextTicket = 4;

  std::atomic<std::uint64_t> state_{0};
  std::atomic<fuse_req_t> request_{nullptr};
  std::atomic<const VmRequests*> of_{nullptr};
  std::atomic<RequestKind> kind_{RequestKind::ordinary};
  std::atomic<std::int64_t> since_ns_{0};
};

/// A request and, if others may answer it, the place where that is decided.
struct RequestTicket {
  fuse_req_t request;          ///< null: nothing to answer
  RequestSlot* slot = nullptr; ///< null: nobody else may
  RequestSlot::Ticket ticket = 0;
};

inline RequestSlot::Ticket RequestSlot::begin(fuse_req_t request, const VmRequests* of, RequestKind kind,
                                              std::int64_t now_ns) {
  const Ticket ticket = state_.load(std::memory_order_relaxed) + kNextTicket;
  request_.store(request, std::memory_order_relaxed);
  of_.store(of, std::memory_order_relaxed);
  kind_.store(kind, std::memory_order_relaxed);
  since_ns_.store(now_ns, std::memory_order_relaxed);
  state_.store(ticket | kBegun, std::memory_order_release);
  return ticket;
}

inline RequestSlot::View RequestSlot::view() const {
  for (;;) {
    const std::uint64_t state = state_.load();
    const View view{state & ~(kBegun | kOpen), request_.load(), of_.load(), kind_.load(), since_ns_.load()};
    if ((state & (kBegun | kOpen)) == 0) {
      return {view.ticket, nullptr, nullptr, RequestKind::ordinary, 0};
    }
    if (state_.load() == state) { // or all of it is of another request
      return view;
    }
  }
}

} // namespace vmemfs
