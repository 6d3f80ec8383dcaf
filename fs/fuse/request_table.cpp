// SPDX-License-Identifier: MIT
#include "fs/fuse/request_table.h"

#include "fs/errno_map.h"
#include "util/log.h"

#include <algorithm>
#include <new>
#include <utility>

namespace vmemfs {
namespace {

/// Age from which a request is given up if its caller gets a signal. The kernel does not report whether it
/// was killed: a window that is resized must not make a read fail that is only slow.
constexpr std::chrono::seconds kMaxInterruptedAge{1};
/// Time that a request is left to end by itself.
constexpr std::chrono::milliseconds kGrace{50};
/// The same for a command: the one that detaches a VM resumes its guest first, which may take the time limits
/// of exchanges with a monitor.
constexpr std::chrono::seconds kCommandGrace{5};

/// Time that the kernel is left to wait for a page of a mapping that it is to drop, and then between two
/// looks.
constexpr std::chrono::milliseconds kPageWaitPoll{100};

std::int64_t steady_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

} // namespace

RequestSlot* RequestTable::slot_of_this_thread() {
  thread_local SlotLease slot{nullptr, {this}};
  if (slot == nullptr) {
    try {
      slot = lease_slot();
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  return slot.get();
}

RequestTable::SlotLease RequestTable::lease_slot() {
  const MutexLock lock{mutex_};
  if (free_.empty()) {
    free_.reserve(slots_.size() + 1); // so that giving back cannot fail
    slots_.push_back(std::make_unique<RequestSlot>());
    return {slots_.back().get(), {this}};
  }
  RequestSlot* const slot = free_.back();
  free_.pop_back();
  return {slot, {this}};
}

void RequestTable::give_back(RequestSlot* slot) {
  const MutexLock lock{mutex_};
  free_.push_back(slot);
}

RequestSlot::Ticket RequestTable::begin(RequestSlot& slot, fuse_req_t request, const VmRequests& of,
                                        RequestKind kind) {
  const auto ticket = slot.begin(request, &of, kind, steady_ns());
  // While nobody can answer the request: then it would not exist any more.
  fuse_req_interrupt_func(
      request, [](fuse_req_t which, void* table) { static_cast<RequestTable*>(table)->interrupt(which); },
      this);
  slot.open(ticket);
  return ticket;
}

/// The request exists as long as libfuse calls this, so its address is not that of another one.
void RequestTable::interrupt(fuse_req_t request) {
  const MutexLock lock{mutex_};
  for (const auto& slot : slots_) {
    if (const auto view = slot->view(); view.request == request) {
      give_up_soon(*slot, view);
      return;
    }
  }
}

void RequestTable::give_up_soon(RequestSlot& slot, const RequestSlot::View& view) {
  const auto age = std::chrono::nanoseconds{steady_ns() - view.since_ns};
  const auto delay = std::max<std::chrono::nanoseconds>(kGrace, kMaxInterruptedAge - age);
  try {
    answers_.post_after(delay, [&slot, view] {
      if (slot.claim(view.ticket)) {
        fuse_reply_err(view.request, errno_of(ErrorKind::interrupted));
      }
    });
  } catch (const std::bad_alloc&) {
    log::warning("a caller that gives up is not answered: out of memory");
  }
}

void RequestTable::answer(const std::function<bool(const RequestSlot::View&)>& wanted, ErrorKind error) {
  std::vector<fuse_req_t> requests;
  {
    const MutexLock lock{mutex_};
    requests.reserve(slots_.size());
    for (const auto& slot : slots_) {
      const auto view = slot->view();
      if (view.request != nullptr && wanted(view) && slot->claim(view.ticket)) {
        requests.push_back(view.request);
      }
    }
  }
  for (fuse_req* const request : requests) {
    fuse_reply_err(request, errno_of(error));
  }
}

void RequestTable::answer_later(std::function<bool(const RequestSlot::View&)> wanted, ErrorKind error) {
  answers_.post_after(kGrace, [this, wanted, error] {
    answer([&](const RequestSlot::View& view) { return view.kind != RequestKind::command && wanted(view); },
           error);
  });
  answers_.post_after(kCommandGrace, [this, wanted = std::move(wanted), error] { answer(wanted, error); });
}

void RequestTable::answer_pages_while(std::shared_ptr<const std::atomic<bool>> active,
                                      std::function<bool(const VmRequests*)> of,
                                      std::chrono::milliseconds patience) {
  answer_pages_after(patience, std::move(active), std::move(of));
}

void RequestTable::answer_pages_after(std::chrono::milliseconds delay,
                                      std::shared_ptr<const std::atomic<bool>> active,
                                      std::function<bool(const VmRequests*)> of) {
  answers_.post_after(delay, [this, active = std::move(active), of = std::move(of)] {
    if (*active) {
      answer(
          [&](const RequestSlot::View& view) { return view.kind == RequestKind::for_mapping && of(view.of); },
          ErrorKind::source_failed);
      answer_pages_after(kPageWaitPoll, active, of);
    }
  });
}

void RequestTable::answer_late_pages(std::function<bool(const VmRequests*)> of) {
  constexpr int kPolls = 40;
  answer_late_pages_after(kMaxPageWait, kPolls, std::move(of));
}

void RequestTable::answer_late_pages_after(std::chrono::milliseconds delay, int polls,
                                           std::function<bool(const VmRequests*)> of) {
  answers_.post_after(delay, [this, polls, of = std::move(of)] {
    const std::int64_t latest = steady_ns() - kPageWaitPoll / std::chrono::nanoseconds{1};
    answer(
        [&](const RequestSlot::View& view) {
          return view.kind == RequestKind::for_mapping && view.since_ns < latest && of(view.of);
        },
        ErrorKind::source_failed);
    if (polls > 1) {
      answer_late_pages_after(kPageWaitPoll, polls - 1, of);
    }
  });
}

void RequestTable::end() {
  ended_ = true;
  answer([](const RequestSlot::View&) { return true; }, ErrorKind::vm_gone);
}

bool RequestTable::is_page_awaited(const std::function<bool(const VmRequests*)>& of,
                                   std::chrono::nanoseconds age) const {
  const std::int64_t before = steady_ns() - age.count();
  const MutexLock lock{mutex_};
  return std::ranges::any_of(slots_, [&](const auto& slot) {
    const auto view = slot->view();
    return view.request != nullptr && view.kind == RequestKind::for_mapping && view.since_ns < before &&
           of(view.of);
  });
}

} // namespace vmemfs
