// SPDX-License-Identifier: MIT
#include "fs/fuse/vm_requests.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

namespace vmemfs {

/// One VM may take half of what is left, so that there is always something left for another one. Refuses only
/// if a thread works for this VM at that moment.
bool VmRequests::enter() {
  constexpr unsigned kMaxOccupied = RequestThreads::kMax - RequestThreads::kReserve;
  const unsigned all = threads_.occupied;
  const unsigned left = kMaxOccupied - std::min(all, kMaxOccupied);
  const unsigned share = std::clamp(left / 2, 1U, RequestThreads::kMaxShare);
  unsigned mine = occupied_;
  do {
    if (mine >= share) {
      return false;
    }
  } while (!occupied_.compare_exchange_weak(mine, mine + 1));
  ++threads_.occupied;
  return true;
}

/// A request that is queued from here on either is seen here, or finds the thread given back: both sides
/// first write their own counter and then read that of the other.
void VmRequests::leave() {
  for (;;) {
    if (queued_ != 0) {
      run_queued();
    }
    --threads_.occupied;
    --occupied_;
    if (queued_ == 0 || !enter()) {
      return;
    }
  }
}

void VmRequests::run_queued() {
  Queued next{};
  while (take(next)) {
    if (!next.is_done()) {
      answer(next.ticket, next.kind.operation, next.work);
    }
    next = {}; // closes its file before the next request
  }
}

bool VmRequests::take(Queued& next) {
  const MutexLock lock{mutex_};
  if (queue_.empty()) {
    return false;
  }
  next = std::move(queue_.front());
  queue_.pop_front();
  --queued_;
  return true;
}

void VmRequests::queue(fuse_req_t request, Kind kind, const std::function<Work()>& make) {
  FuseReply not_queued{RequestTicket{request}};
  try {
    Queued queued{table_.lease_slot(), {}, kind, make()};
    queued.ticket = begin(queued.slot.get(), request, kind);
    not_queued.leave();
    FuseReply not_added{queued.ticket};
    add(std::move(queued));
    not_added.leave();
  } catch (const std::exception& exception) {
    not_queued.error(kind_of_exception(kind.operation, exception));
    return;
  }
  if (enter()) { // all that worked for this VM may have ended meanwhile
    leave();
  }
}

void VmRequests::carry_out(std::function<void()> work) {
  if (enter()) {
    work();
    leave();
    return;
  }
  add({{nullptr, {}}, {}, {"close"}, [work = std::move(work)](FuseReply&) { work(); }});
  if (enter()) {
    leave();
  }
}

/// Those whose callers have given up go, so that the queue is no longer than there are callers.
void VmRequests::add(Queued&& queued) {
  std::deque<Queued> done; // destroyed outside of the lock, as files are closed with them
  const MutexLock lock{mutex_};
  queue_.push_back(std::move(queued));
  ++queued_;
  const auto begin =
      std::stable_partition(queue_.begin(), queue_.end(), [](const Queued& one) { return !one.is_done(); });
  std::move(begin, queue_.end(), std::back_inserter(done));
  queue_.erase(begin, queue_.end());
  queued_ -= done.size();
}

RequestTicket VmRequests::begin(RequestSlot* slot, fuse_req_t request, Kind kind) {
  if (slot == nullptr) {
    return {request};
  }
  const RequestTicket ticket{request, slot, table_.begin(*slot, request, *this, kind.kind)};
  if (ended_ || table_.ended()) {
    FuseReply{ticket}.error(ErrorKind::vm_gone);
  }
  return ticket;
}

void VmRequests::end() {
  ended_ = true;
  table_.answer_later(
      [self = shared_from_this()](const RequestSlot::View& view) { return view.of == self.get(); },
      ErrorKind::vm_gone);
}

} // namespace vmemfs
