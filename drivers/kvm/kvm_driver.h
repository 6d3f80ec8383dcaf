// SPDX-License-Identifier: MIT
// Driver instance for one VM of KVM, whatever program runs it (its VMM). Nothing is asked of that program.
//
// Map: KVM's own memory slots, read by a BPF iterator, checked against the mappings of the process, and read
// again while the VM is read. Bytes: the backing file or process_vm_readv (see host/host_memory.h). Writes:
// into the process's memory from outside. Registers and run control: see vcpus/vcpu_control.h.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/listener_slot.h"
#include "driver/kit/owner_lease.h"
#include "drivers/kvm/identity/vm_process.h"
#include "drivers/kvm/kvm_runtime.h"
#include "drivers/kvm/layout/slot_layout.h"
#include "drivers/kvm/vcpus/vcpu_control.h"
#include "host/process_space.h"
#include "util/fd_watcher.h"
#include "util/mutex.h"
#include "util/published.h"
#include "util/rate_limit.h"
#include "util/worker.h"
#include "vmm/process_guest.h"
#include "vmm/thread_watch.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::kvm {

/// Which VM.
struct KvmVm {
  pid_t pid = 0;
  std::uint64_t index = 0; ///< among those of the process, in the order of their file descriptors
  std::string api{};       ///< socket of its program's API; empty: not used
};

class KvmDriver final : public Driver, DirectMemory, MemoryWriter {
public:
  /// not_found: there is no such VM. busy: it has no memory yet. permission, unsupported: the text names the
  /// remedy.
  static Result<std::unique_ptr<KvmDriver>> attach(const KvmVm& wanted, const DriverContext& context);
  KvmDriver(const KvmDriver&) = delete;
  KvmDriver& operator=(const KvmDriver&) = delete;
  ~KvmDriver() override { lease_.end(); }

  const VmIdentity& identity() const override { return identity_; }
  VcpuSet vcpus() const override { return *vcpus_.load(); }
  std::shared_ptr<const MemoryMap> memory_map() const override { return guest_.memory_map(); }
  void read(std::span<ReadPiece> pieces) override { guest_.read(pieces); }
  Result<void> refresh() override { return refresh(ProcessGuest::Mappings::renew); }
  void poll_layout(bool missed) override;
  UseSearch find(GpaRange range, MemoryUse wanted) override { return guest_.find(range, wanted); }
  std::optional<std::uint64_t> held_bytes() const override { return guest_.held_bytes(); }
  ReadCost read_cost() const override {
    return {std::chrono::microseconds{2}, std::chrono::nanoseconds{150}};
  }
  bool gone() const override { return closed_ || guest_.gone(); }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  BlockMemory* block_memory() override { return &guest_; }
  DirectMemory* direct_memory() override { return this; }
  MemoryWriter* memory_writer() override { return this; }
  RegisterReader* register_reader() override { return finds_threads_ ? &control_ : nullptr; }
  RegisterWriter* register_writer() override {
    return finds_threads_ && !keeps_registers_ ? &control_ : nullptr;
  }
  RunControl* run_control() override { return finds_threads_ ? &control_ : nullptr; }

private:
  KvmDriver(std::shared_ptr<const KvmRuntime> runtime, const VmWalk& walk,
            std::shared_ptr<const ProcessSpace> space, VmKey vm, VmIdentity identity,
            std::optional<VmmApi> api, Worker& worker);

  std::span<const std::byte> borrow(Gpa gpa, std::size_t size, MemoryPin& pin) override {
    return guest_.borrow(gpa, size, pin);
  }
  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;

  [[nodiscard]] Result<void> check_memory() const;
  Result<void> watch(const DriverContext& context);
  void poll();
  void refresh_later();
  Result<void> refresh_if_changed() EXCLUDES(layout_mutex_);
  Result<void> refresh(ProcessGuest::Mappings mappings) EXCLUDES(layout_mutex_);
  Result<void> take_layout(ProcessGuest::Mappings mappings) REQUIRES(layout_mutex_);
  void take_vcpus(const std::vector<ListedVcpu>& listed, const std::vector<Vma>& maps);
  void find_vcpus();
  void note_missing(const Error& error);
  [[nodiscard]] tl::unexpected<Error> gone_error() const;

  const std::shared_ptr<const KvmRuntime> runtime_;
  const VmWalk& walk_; ///< of runtime_
  const std::shared_ptr<const ProcessSpace> space_;
  const VmKey vm_;
  const VmIdentity identity_;
  Worker& worker_;
  const bool finds_threads_ = in_first_pid_namespace();
  /// QEMU may overwrite registers that were set from outside with a copy of its own.
  const bool keeps_registers_;
  const std::string api_; ///< for the user; empty: none

  Published<VcpuSet> vcpus_;           ///< never null
  ThreadWatch threads_;                ///< of the watcher's thread
  std::atomic<bool> vcpus_due_{false}; ///< they may have changed, so that the slots' generation is not enough
  std::atomic<bool> refresh_pending_{false};
  RateLimit poll_limit_{std::chrono::milliseconds{250}}; ///< of refreshes while the VM is read
  RateLimit miss_limit_{std::chrono::milliseconds{50}};  ///< of those after a read of a hole
  RateLimit maps_limit_{std::chrono::seconds{1}};        ///< of those with the same slots
  std::atomic<unsigned> missing_{0};                     ///< walks in a row that did not find the VM
  std::atomic<bool> closed_{false};                      ///< the process lives, but has closed the VM

  Mutex layout_mutex_; ///< one refresh at a time; never taken by a read
  mutable Mutex report_mutex_;
  std::vector<LeftOut> left_out_ GUARDED_BY(report_mutex_);

  VcpuControl control_;
  ListenerSlot listener_;
  OwnerLease<KvmDriver> lease_{*this};
  ProcessGuest guest_;               ///< near the end: its callback uses the others
  FdWatcher::Watch process_watch_{}; ///< last: its callback uses the others
};

} // namespace vmemfs::kvm
