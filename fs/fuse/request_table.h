// SPDX-License-Identifier: MIT
// All requests of VMs that are under way, so that they can be answered while a thread still hangs in them:
// when the caller gives up, the VM goes, or the daemon ends.
#pragma once

#include "core/error.h"
#include "fs/fuse/request_slot.h"
#include "util/mutex.h"
#include "util/worker.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace vmemfs {

/// Thread-safe. Outlives its slots. One per process, as each thread keeps a slot. libfuse calls interrupt()
/// with a lock of the request held, so nothing is answered while the lock of this object is held.
class RequestTable {
public:
  static constexpr std::chrono::seconds kMaxPageWait{1}; ///< for a page of a mapping, of who waits for it

  RequestTable() = default;
  RequestTable(const RequestTable&) = delete;
  RequestTable& operator=(const RequestTable&) = delete;
  ~RequestTable() = default;

  struct GiveBack {
    RequestTable* table;
    void operator()(RequestSlot* slot) const { table->give_back(slot); }
  };
  using SlotLease = std::unique_ptr<RequestSlot, GiveBack>;

  /// The slot that the calling thread keeps until it ends; null: no memory.
  [[nodiscard]] RequestSlot* slot_of_this_thread();
  /// A slot for a request that no thread works on.
  [[nodiscard]] SlotLease lease_slot() EXCLUDES(mutex_);

  /// Puts a request in, and has libfuse report that its caller gives up. From then on it may be answered by
  /// others at any time.
  [[nodiscard]] RequestSlot::Ticket begin(RequestSlot& slot, fuse_req_t request, const VmRequests& of,
                                          RequestKind kind);

  /// Answers all requests that wait and that `wanted` holds for with an error.
  void answer(const std::function<bool(const RequestSlot::View&)>& wanted, ErrorKind error) EXCLUDES(mutex_);
  /// Answers those of a VM that is gone with an error, after a time in which they can still end by
  /// themselves. Commands have more of it: they have time limits of their own, and one of them detaches.
  void answer_later(std::function<bool(const RequestSlot::View&)> wanted, ErrorKind error);
  /// Once `patience` is over and as long as `active`: answers with source_failed those for pages of mappings.
  void answer_pages_while(std::shared_ptr<const std::atomic<bool>> active,
                          std::function<bool(const VmRequests*)> of,
                          std::chrono::milliseconds patience = kMaxPageWait);
  /// For a while after that limit, answers those of them that take long.
  void answer_late_pages(std::function<bool(const VmRequests*)> of);
  /// Answers all, and those that come from now on.
  void end();
  [[nodiscard]] bool ended() const { return ended_; }

  /// Whether a request for a page of a mapping has waited for so long.
  [[nodiscard]] bool is_page_awaited(const std::function<bool(const VmRequests*)>& of,
                                     std::chrono::nanoseconds age) const EXCLUDES(mutex_);

private:
  void give_back(RequestSlot* slot) EXCLUDES(mutex_);
  void interrupt(fuse_req_t request) EXCLUDES(mutex_);
  void give_up_soon(RequestSlot& slot, const RequestSlot::View& view);
  void answer_pages_after(std::chrono::milliseconds delay, std::shared_ptr<const std::atomic<bool>> active,
                          std::function<bool(const VmRequests*)> of);
  void answer_late_pages_after(std::chrono::milliseconds delay, int polls,
                               std::function<bool(const VmRequests*)> of);

  std::atomic<bool> ended_{false};
  mutable Mutex mutex_; ///< leaf
  std::vector<std::unique_ptr<RequestSlot>> slots_ GUARDED_BY(mutex_);
  std::vector<RequestSlot*> free_ GUARDED_BY(mutex_);
  Worker answers_; ///< gives up interrupted requests; ends first
};

} // namespace vmemfs
