// SPDX-License-Identifier: MIT
// A VM as the filesystem sees it: a driver, the view of its memory and its known state. Connects reads,
// writes, the page cache, pauses and events.
#pragma once

#include "driver/driver.h"
#include "util/worker.h"
#include "vm/cache/bad_pages.h"
#include "vm/cache/cache_budget.h"
#include "vm/cache/cache_policy.h"
#include "vm/event_log.h"
#include "vm/memory/memory_view.h"
#include "vm/prefetch/prefetcher.h"
#include "vm/state/attachment.h"
#include "vm/state/coherence.h"
#include "vm/state/pause_guard.h"
#include "vm/state/run_state_tracker.h"
#include "vm/vm_counters.h"
#include "vm/vm_jobs.h"
#include "vm/vm_options.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace vmemfs {

/// Number of a VM in this mount; never used twice.
using VmId = std::uint32_t;

/// Services that a VM uses. All outlive it.
struct VmServices {
  Worker& jobs;               ///< jobs that may wait for the driver
  Worker& prefetch_jobs;      ///< reads that are likely to be requested
  Worker& slow_prefetch_jobs; ///< the same, for slow drivers
  CacheBudget& cache_budget;  ///< shared by all VMs of the mount
  PauseGuard* guard;          ///< null: no process resumes paused VMs when this process is killed
  /// Called after guest memory may have changed in a way that a cache could hide, or the VM has ended
  /// (gone()); on any thread; returns soon.
  std::function<void(VmId, bool gone)> changed;
  /// Returns when no cache outside of this library, such as the kernel's, contains memory of the VM any
  /// more, or after a timeout. Not called on a thread of `changed`.
  std::function<void(VmId)> drop_outer_caches;
  EventLog* events = nullptr; ///< null: events are not recorded
};

/// Thread-safe. Control operations and writes are serialized; reads do not wait for them. Held by
/// shared_ptr, because delayed jobs (the end of a timed pause) keep a reference.
class Vm : VmListener, public std::enable_shared_from_this<Vm> {
public:
  /// Registers as the driver's listener, and queries the VM's state on another thread.
  static std::shared_ptr<Vm> create(VmId id, std::string name, std::unique_ptr<Driver> driver,
                                    VmServices services, VmOptions options = {});
  ~Vm() override;
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  [[nodiscard]] VmId id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return name_; } ///< of its directory
  [[nodiscard]] Driver& driver() { return *driver_; }
  [[nodiscard]] const FileRights& rights() const { return rights_; } ///< to its files
  [[nodiscard]] const Driver& driver() const { return *driver_; }
  /// It has ended or was detached; stays true. Every operation then fails with vm_gone.
  [[nodiscard]] bool gone() const { return attachment_.gone(); }
  /// Detaches for good, as if the VM had ended: a guest that vmemfs paused is resumed. May wait for the
  /// driver.
  void detach();
  [[nodiscard]] bool detached() const { return attachment_.detached(); }
  [[nodiscard]] const BadPages& bad_pages() const { return bad_pages_; }
  /// The caller counts the operations that are not counted here: reads of memory files and control
  /// commands.
  [[nodiscard]] VmCounters& counters() { return counters_; }

  // Memory. See MemoryView. `read_ahead` is the open file's, and may be null.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          HolePolicy policy, ReadScratch& scratch,
                                                          ReadAhead* read_ahead = nullptr);
  [[nodiscard]] const MemoryView& memory() const { return view_; }
  /// Adopts a changed memory map if that is cheap. Call it before reporting size or shape.
  void poll_layout();

  /// A file of the VM's memory is open, until end_view(). See RunStateTracker.
  void begin_view() { run_state_.begin_view(); }
  void end_view() {
    run_state_.end_view();
    prefetcher_.drop();
  }

  /// A file of its memory is open, or vmemfs paused it: it must not be detached without a request.
  [[nodiscard]] bool in_use() const;

  /// Writes guest memory, if writes are on and the whole range is writable; else nothing is written.
  /// Returns the number of bytes written, from the start: fewer than all if the driver failed midway.
  [[nodiscard]] Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes);
  [[nodiscard]] bool writable() const { return writable_; }
  [[nodiscard]] Result<void> set_writable(bool on);

  // State and control. See RunStateTracker.
  [[nodiscard]] Result<RunStatus> run_status();
  [[nodiscard]] Result<Paused> pause(PauseKind kind = PauseKind::plain,
                                     std::chrono::milliseconds for_how_long = {});
  [[nodiscard]] Result<HoldId> hold();
  void end_hold(HoldId hold) { run_state_.end_hold(hold); }
  [[nodiscard]] bool is_held(HoldId hold) const { return run_state_.is_held(hold); }
  [[nodiscard]] Result<void> resume(std::optional<HoldId> own_hold = std::nullopt);
  void release() { run_state_.release(); }
  [[nodiscard]] RunStateTracker::Info pause_info() const { return run_state_.info(); }
  [[nodiscard]] std::chrono::system_clock::time_point last_change() const { return run_state_.last_change(); }
  [[nodiscard]] std::uint64_t epoch() const { return cache_.epoch(); }
  /// Reads the memory map again.
  [[nodiscard]] Result<void> refresh();
  /// Drops all cached pages.
  void flush() { cache_.flush(); }

  // The page cache. If none is in use, every read goes to the driver.
  [[nodiscard]] Result<void> change_cache(const std::function<void(CacheSettings&)>& change);
  [[nodiscard]] CacheSettings cache_settings() const { return cache_.settings(); }
  [[nodiscard]] bool cache_in_use() const { return cache_.in_use(); }
  [[nodiscard]] PageCacheStats cache_stats() const { return cache_.stats(); }
  [[nodiscard]] CacheCounts cache_counts() const { return cache_.counts(); }

  /// nullptr if registers can be neither read nor set.
  [[nodiscard]] const RegisterLayout* register_layout() const;
  [[nodiscard]] Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus);
  [[nodiscard]] Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values);

  /// Message of the last failed control operation; empty if there was none.
  [[nodiscard]] std::string last_error() const;

private:
  Vm(VmId id, std::string name, std::unique_ptr<Driver> driver, VmServices services, VmOptions options);

  void on_vm_event(VmEvent event) override;
  void call_later(RunStateTracker::Clock::duration delay, void (RunStateTracker::*what)());
  [[nodiscard]] Result<void> check_writable(GpaRange range) const;
  void report(EventKind kind, std::string detail) const;
  // Implementations of the methods without try_, which count them.
  [[nodiscard]] Result<std::size_t> try_write(std::uint64_t offset, std::span<const std::byte> bytes);
  [[nodiscard]] Result<std::vector<RegisterSet>> try_read_registers(std::span<const VcpuId> vcpus);
  [[nodiscard]] Result<void> try_write_registers(VcpuId vcpu, std::span<const RegisterValue> values);
  template <typename T> Result<T> noted(Result<T> result);
  template <typename T> Result<T> unless_detached(Result<T> paused);

  const VmId id_;
  const std::string name_;
  const FileRights rights_;
  const std::unique_ptr<Driver> driver_;
  const VmServices services_;
  Attachment attachment_;
  VmJobs jobs_;
  VmCounters counters_;
  BadPages bad_pages_;
  Coherence coherence_;
  CachePolicy cache_;
  MemoryView view_;
  Prefetcher prefetcher_;
  RunStateTracker run_state_;

  std::atomic<bool> writable_;
  std::atomic<std::int64_t> next_layout_poll_ns_{0};
  mutable std::mutex error_mutex_; ///< guards the last error; leaf
  std::string last_error_;
};

} // namespace vmemfs
