// SPDX-License-Identifier: MIT
// The share of the request threads that one VM may occupy.
#pragma once

#include "fs/fuse/fuse_reply.h"
#include "fs/fuse/request_table.h"
#include "util/mutex.h"

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>

namespace vmemfs {

/// Counts the threads that requests of VMs occupy.
struct RequestThreads {
  /// Threads that libfuse may create.
  static constexpr unsigned kMax = 256;
  /// Kept for what waits for no VM.
  static constexpr unsigned kReserve = 32;
  /// What one VM may occupy for its memory, and again for its other files.
  static constexpr unsigned kMaxShare = 16;

  std::atomic<unsigned> occupied{0};
};

/// Requests of one VM that may wait for it. Beyond its share they wait in a queue, which occupies no thread,
/// for one of those that work for this VM already. The share gets smaller when many VMs hang, but one thread
/// per VM there always is. Thread-safe. Held by shared_ptr, because a thread may hang in a request after the
/// VM has gone.
class VmRequests : public std::enable_shared_from_this<VmRequests> {
public:
  /// Both outlive this object.
  VmRequests(RequestTable& table, RequestThreads& threads) : table_{table}, threads_{threads} {}

  struct Kind {
    std::string_view operation; ///< a literal, for the log
    RequestKind kind = RequestKind::ordinary;
  };
  /// Carries out `now(reply)` on this thread; or `later()` returns the same to be carried out by another one,
  /// with all that it needs. The reply may have been given up by the time that it is used.
  template <typename Now, typename Later>
  void carry_out(fuse_req_t request, Kind kind, Now&& now, Later&& later) {
    if (enter()) {
      answer(begin(table_.slot_of_this_thread(), request, kind), kind.operation, now);
      leave();
    } else {
      queue(request, kind, [&]() -> Work { return later(); });
    }
  }

  /// The same for work without an answer, such as closing a file.
  void carry_out(std::function<void()> work) EXCLUDES(mutex_);

  /// The VM is gone: requests that still wait soon are answered, and later ones at once.
  void end();

private:
  using Work = std::function<void(FuseReply&)>;
  struct Queued {
    RequestTable::SlotLease slot; ///< null: nothing to answer
    RequestTicket ticket;
    Kind kind;
    Work work;

    [[nodiscard]] bool is_done() const { return slot != nullptr && slot->is_done(ticket.ticket); }
  };

  [[nodiscard]] bool enter();
  void leave() EXCLUDES(mutex_);
  void run_queued() EXCLUDES(mutex_);
  [[nodiscard]] bool take(Queued& next) EXCLUDES(mutex_);
  void queue(fuse_req_t request, Kind kind, const std::function<Work()>& make) EXCLUDES(mutex_);
  void add(Queued&& queued) EXCLUDES(mutex_);
  [[nodiscard]] RequestTicket begin(RequestSlot* slot, fuse_req_t request, Kind kind);

  RequestTable& table_;
  RequestThreads& threads_;
  std::atomic<unsigned> occupied_{0};
  std::atomic<std::size_t> queued_{0};
  std::atomic<bool> ended_{false};
  Mutex mutex_; ///< not held while a request is carried out or answered
  std::deque<Queued> queue_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
