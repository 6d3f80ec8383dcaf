// SPDX-License-Identifier: MIT
// An attached VM: a driver, and the parts that files use. It has no operations of its own but detaching;
// scripts/check_vm_size keeps it so.
#pragma once

#include "driver/driver.h"
#include "util/worker.h"
#include "vm/cache/cache_budget.h"
#include "vm/cache/cache_policy.h"
#include "vm/event_log.h"
#include "vm/live_guest.h"
#include "vm/state/attachment.h"
#include "vm/state/coherence.h"
#include "vm/state/pause_guard.h"
#include "vm/state/run_state_tracker.h"
#include "vm/state/state_polls.h"
#include "vm/vm_events.h"
#include "vm/vm_jobs.h"
#include "vm/vm_options.h"
#include "vm/write_gate.h"

#include <cstdint>
#include <functional>
#include <memory>
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
  /// The kernel keeps pages of a guest that runs: has it drop them, as soon as that disturbs nobody. Returns
  /// at once. May be null.
  std::function<void(VmId)> drop_kept_pages{};
  EventLog* events = nullptr;                    ///< null: events are not recorded
  std::shared_ptr<KernelBudget> kernel_budget{}; ///< of all VMs of the mount; null: no limit
  std::shared_ptr<StatePolls> state_polls{};     ///< of all VMs of the mount; null: of each VM alone
};

/// Thread-safe, and so is each part. Control operations and writes are serialized; reads do not wait for
/// them. Held by shared_ptr, because delayed jobs (the end of a timed pause) keep a reference.
class Vm : VmListener {
public:
  /// Registers as the driver's listener, and queries the VM's state on another thread.
  static std::shared_ptr<Vm> create(VmId id, std::string name, std::unique_ptr<Driver> driver,
                                    const VmServices& services, const VmOptions& options = {});
  ~Vm() override;
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  [[nodiscard]] VmId id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return events_.vm(); } ///< of its directory
  [[nodiscard]] const FileRights& rights() const { return rights_; }     ///< to its files

  /// It has ended or was detached; stays true. Every operation then fails with vm_gone.
  [[nodiscard]] bool gone() const { return attachment_.gone(); }
  [[nodiscard]] bool detached() const { return attachment_.detached(); }
  /// Detaches for good, as if the VM had ended: a guest that vmemfs paused is resumed. May wait for the
  /// driver. Failure: it may stay paused.
  Result<void> detach();

  // The parts, which live as long as this object.
  [[nodiscard]] LiveGuest& guest() { return guest_; }               ///< identity, memory, registers
  [[nodiscard]] RunStateTracker& run_state() { return run_state_; } ///< pause and resume
  [[nodiscard]] CachePolicy& cache() { return cache_; }             ///< the page cache and its settings
  [[nodiscard]] WriteGate& write_gate() { return write_gate_; }     ///< whether writes are on
  [[nodiscard]] VmEvents& events() { return events_; }              ///< reports, and the last error

private:
  Vm(VmId id, std::string name, std::unique_ptr<Driver> driver, const VmServices& services,
     const VmOptions& options);

  void on_vm_event(VmEvent event) override;

  const VmId id_;
  const FileRights rights_;
  const std::unique_ptr<Driver> driver_;
  VmEvents events_;
  VmJobs jobs_;
  Attachment attachment_;
  Coherence coherence_;
  CachePolicy cache_;
  RunStateTracker run_state_;
  WriteGate write_gate_;
  LiveGuest guest_;
};

/// The VM as a guest, which keeps the VM alive.
[[nodiscard]] inline std::shared_ptr<Guest> guest_of(const std::shared_ptr<Vm>& vm) {
  return {vm, &vm->guest()};
}

} // namespace vmemfs
