// SPDX-License-Identifier: MIT
// Driver instance for one running QEMU, with KVM or TCG, unpatched.
//
// Map: the monitor's `info mtree -f`, checked against QEMU's own flat view, which is then polled for changes;
// without a monitor the flat view alone. Bytes: the backing file or process_vm_readv (see
// host/host_memory.h). Registers and run control: the monitor. Writes: into QEMU's memory from outside under
// KVM, else through QEMU's gdbstub, because TCG continues to run code that it translated before a change from
// outside. The CPU time of the vCPU threads shows if another client has resumed a paused guest.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/listener_slot.h"
#include "driver/kit/owner_lease.h"
#include "drivers/qemu/discovery/find_qemu.h"
#include "drivers/qemu/layout/layout_sources.h"
#include "drivers/qemu/monitor/monitor.h"
#include "drivers/qemu/monitor/monitor_time.h"
#include "drivers/qemu/qemu_vcpu.h"
#include "drivers/qemu_protocol/hmp_registers.h"
#include "host/process_space.h"
#include "util/fd_watcher.h"
#include "util/mutex.h"
#include "util/published.h"
#include "util/rate_limit.h"
#include "util/timed_lock.h"
#include "vmm/process_guest.h"
#include "vmm/thread_watch.h"
#include "vmm/vcpu_idle_monitor.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::qemu {

/// The source of the memory map.
enum class MapSource : unsigned char {
  automatic, ///< monitor and flat view, as far as available; if both are and differ, the monitor counts
  monitor,
  flat_view,
  guess, ///< by machine type: only if the user requests it
};

struct QemuOptions {
  MapSource map = MapSource::automatic;
  bool keep_monitor = false;
  std::chrono::milliseconds timeout{2000};
};

/// Time of an attempt to attach, in time limits of an exchange: for kMaxMonitors that say nothing, and some
/// more.
inline constexpr int kAttachTimeouts = 5;

class QemuDriver final : public Driver,
                         DirectMemory,
                         MemoryWriter,
                         RegisterReader,
                         RegisterWriter,
                         RunControl {
public:
  static Result<std::unique_ptr<QemuDriver>> attach(FoundQemu qemu, const QemuOptions& options,
                                                    const DriverContext& context);
  QemuDriver(const QemuDriver&) = delete;
  QemuDriver& operator=(const QemuDriver&) = delete;
  ~QemuDriver() override { lease_.end(); }

  const VmIdentity& identity() const override { return identity_; }
  VcpuSet vcpus() const override { return *vcpus_.load(); }
  std::shared_ptr<const MemoryMap> memory_map() const override { return guest_.memory_map(); }
  void read(std::span<ReadPiece> pieces) override { guest_.read(pieces); }
  Result<void> refresh() override;
  void poll_layout(bool missed) override;
  void poll_run_state() override;
  std::optional<std::chrono::milliseconds> state_delay() const override;
  UseSearch find(GpaRange range, MemoryUse wanted) override { return guest_.find(range, wanted); }
  std::optional<std::uint64_t> held_bytes() const override { return guest_.held_bytes(); }
  ReadCost read_cost() const override;
  bool gone() const override { return guest_.gone(); }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  BlockMemory* block_memory() override { return &guest_; }
  DirectMemory* direct_memory() override { return this; }
  MemoryWriter* memory_writer() override { return this; }
  RegisterReader* register_reader() override { return reads_registers() ? this : nullptr; }
  RegisterWriter* register_writer() override { return sets_registers() ? this : nullptr; }
  RunControl* run_control() override { return monitor_ != nullptr ? this : nullptr; }

private:
  QemuDriver(FoundQemu qemu, std::shared_ptr<const ProcessSpace> space, const QemuOptions& options,
             const DriverContext& context);

  std::span<const std::byte> borrow(Gpa gpa, std::size_t size, MemoryPin& pin) override {
    return guest_.borrow(gpa, size, pin);
  }
  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  const RegisterLayout& register_layout() const override;
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  [[nodiscard]] bool usually_has(RegisterIndex reg) const override { return has_register(reg); }
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override;
  Result<RunStatus> resume() override;
  std::string resume_ticket() const override;
  [[nodiscard]] RunStatus with_cause(RunStatus status) const;

  // Attaching (qemu_driver_attach.cpp).
  Result<void> take_first_layout();
  void probe_monitors();
  Result<void> probe_flat_view();
  [[nodiscard]] bool is_free(const std::string& monitor_path) const;
  [[nodiscard]] MonitorTime attach_time() const;
  void probe_kvm();
  void note_no_monitor(std::string what, const std::string& detail);
  void read_identity(MonitorSession& session);
  void note(std::string what, bool ok, std::string detail);

  // The layout.
  Result<MonitorLayout> layout_by_monitor(MonitorSession& session);
  Result<GuestLayout> plugged_by_monitor(const MonitorTime& time);
  Result<GuestLayout> layout_by_view();
  Result<void> follow_view(const MonitorTime& time);
  void note_plugs(bool known);
  Result<GuestLayout> read_layout(const MonitorTime& time);
  Result<GuestLayout> read_checked_layout();
  Result<GuestLayout> take_monitors(const std::string& difference);
  using Mappings = ProcessGuest::Mappings;
  Result<void> publish(GuestLayout layout, Mappings mappings);
  Result<void> refresh(Mappings mappings, const MonitorTime& time);
  void refresh_later();

  // vCPUs (qemu_driver_vcpus.cpp).
  [[nodiscard]] bool query_vcpus(const MonitorTime& time);
  bool query_vcpus(MonitorSession& session);
  [[nodiscard]] bool vcpus_may_differ();
  void poll_vcpus();
  void query_vcpus_later();
  void take_vcpus(const std::vector<QemuVcpu>& vcpus);

  // Writing (qemu_driver_write.cpp).
  Result<void> take_newest_layout(const MonitorTime& time);
  WriteOutcome write_from_outside(Gpa gpa, std::span<const std::byte> bytes, const MonitorTime& time);
  WriteOutcome write_by_stub(Gpa gpa, std::span<const std::byte> bytes, const MonitorTime& time);
  [[nodiscard]] Result<void> check_stub_is_reachable() const;
  [[nodiscard]] Result<std::string> describe_stub() const;
  [[nodiscard]] std::string describe_writes() const;

  // Registers (qemu_driver_registers.cpp).
  [[nodiscard]] bool reads_registers() const;
  [[nodiscard]] bool sets_registers() const;
  [[nodiscard]] std::string describe_registers() const;

  static Result<std::vector<RegisterSet>> registers_of(MonitorSession& session,
                                                       std::span<const VcpuId> vcpus);
  void on_monitor_event(const QmpEvent& event);

  const FoundQemu qemu_;
  const std::shared_ptr<const ProcessSpace> space_; ///< of qemu_.process
  const QemuOptions options_;
  Worker& worker_;
  VmIdentity identity_;
  Published<VcpuSet> vcpus_;                     ///< never null
  ThreadWatch threads_;                          ///< of the watcher's thread
  std::atomic<bool> vcpus_due_{false};           ///< the monitor is to be queried for vCPUs
  std::atomic<bool> vcpu_query_pending_{false};  ///< a job does that
  std::atomic<unsigned> vcpu_query_failures_{0}; ///< in a row
  unsigned vcpu_polls_to_skip_ = 0;              ///< of the watcher's thread
  std::optional<FlatViewReader> flat_view_;      ///< set while attaching only
  std::string map_source_;                       ///< as text; set while attaching only

  bool kvm_ = false;           ///< set while attaching only
  std::string why_no_monitor_; ///< all monitors that were tried without success; set while attaching only

  /// Serialises changes of the guest's layout. Taken before the monitor's session lock, except in a write
  /// through the gdbstub with a layout from the flat view, which does not use the monitor: see
  /// docs/threads-and-locks.md.
  TimedLock layout_mutex_;
  std::atomic<bool> refresh_pending_{false};
  RateLimit miss_limit_{std::chrono::seconds{1}}; ///< of refreshes through the monitor after a read of a hole
  std::atomic<bool> attached_{false};
  std::atomic<bool> plugs_known_{true};            ///< what of virtio-mem is plugged
  RateLimit plugs_limit_{std::chrono::seconds{1}}; ///< of looking again if not
  VcpuIdleMonitor idle_monitor_;

  TimedLock write_mutex_; ///< one write at a time

  mutable Mutex probe_mutex_;
  std::vector<ProbeResult> probe_ GUARDED_BY(probe_mutex_);

  ListenerSlot listener_;
  OwnerLease<QemuDriver> lease_{*this};
  std::unique_ptr<Monitor> monitor_; ///< null if no monitor answers; set while attaching only
  ProcessGuest guest_;               ///< near the end: its callback uses the others
  FdWatcher::Watch vcpu_watch_;      ///< last member: its callback uses the others
};

} // namespace vmemfs::qemu
