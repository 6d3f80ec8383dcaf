// SPDX-License-Identifier: MIT
// The memory, registers and state of one Xen domain, from domain 0.
//
// Bytes: foreign mappings of a few hundred pages, copied and unmapped at once. Map: for PVH and HVM by trying
// frame numbers, a few at attaching and the rest in the background; for PV by the tables of guest and
// hypervisor. Both are read again when the number of the domain's pages changes, or a page is refused.
// The end of the domain is heard of from xenstore, and seen when a mapping fails.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/listener_slot.h"
#include "drivers/xen/memory/layout_keeper.h"
#include "drivers/xen/memory/page_batch.h"
#include "drivers/xen/state/domain_events.h"
#include "drivers/xen/state/pause_count.h"
#include "drivers/xen/xen_runtime.h"
#include "util/fd_watcher.h"
#include "util/mutex.h"
#include "util/published.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs::xen {

class XenDriver final : public Driver, MemoryWriter, RegisterReader, RegisterWriter, RunControl {
public:
  /// `domain`: id, uuid or name.
  static Result<std::unique_ptr<XenDriver>> attach(std::string_view domain, XenRuntime& runtime,
                                                   const DriverContext& context);
  XenDriver(const XenDriver&) = delete;
  XenDriver& operator=(const XenDriver&) = delete;
  ~XenDriver() override = default;

  const VmIdentity& identity() const override { return identity_; }
  VcpuSet vcpus() const override { return *vcpus_.load(); }
  std::shared_ptr<const MemoryMap> memory_map() const override;
  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  void poll_layout(bool missed) override;
  void poll_run_state() override;
  std::optional<std::chrono::milliseconds> state_delay() const override { return PauseCount::kDelay; }
  ReadCost read_cost() const override;
  bool gone() const override { return gone_; }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  MemoryWriter* memory_writer() override { return this; }
  RegisterReader* register_reader() override { return this; }
  RegisterWriter* register_writer() override { return this; }
  RunControl* run_control() override { return this; }

private:
  /// What it takes to reach the domain.
  struct Access {
    Control control;
    ForeignMemory memory;
    std::shared_ptr<const MachineTable> table; ///< of PV only
    unsigned bits;                             ///< of a PV guest's words
    std::shared_ptr<DomainEvents> events;
  };
  XenDriver(DomainInfo info, Access access, const DriverContext& context);
  static Result<Access> open_access(Control control, XenRuntime& runtime,
                                    std::shared_ptr<DomainEvents> events, const DomainInfo& info);

  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  const RegisterLayout& register_layout() const override;
  [[nodiscard]] Result<RegisterSet> read_checked_vcpu(VcpuId vcpu);
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  bool usually_has(RegisterIndex reg) const override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override { return pause_count_.pause(); }
  Result<RunStatus> resume() override;
  std::string resume_ticket() const override;

  [[nodiscard]] Result<void> check_vcpu(VcpuId vcpu) const;
  WriteOutcome write_part(const Layout& layout, Gpa gpa, std::span<const std::byte> bytes);

  Result<void> refresh_vcpus() EXCLUDES(vcpus_mutex_);

  // The end.
  void check_for_end();
  void end();

  const DomainInfo info_; ///< as it was when attached
  const Access access_;
  const VmIdentity identity_;
  PauseCount pause_count_;
  std::atomic<bool> gone_{false};

  ListenerSlot listener_;
  Mutex vcpus_mutex_;        ///< one refresh of vcpus_ at a time
  Published<VcpuSet> vcpus_; ///< never null
  LayoutKeeper layout_;      ///< its callbacks use what is above
  // Last: their callbacks use the rest.
  DomainEvents::Subscription subscription_;
  FdWatcher::Watch vcpu_watch_;
};

} // namespace vmemfs::xen
