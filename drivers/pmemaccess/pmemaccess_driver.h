// SPDX-License-Identifier: MIT
// Driver instance for one QEMU with LibVMI's pmemaccess patch.
//
// Memory: the patch's own socket, one request at a time. All else (map, registers, state, pause, and the
// command that makes the socket) is asked of the monitor; without one there are memory and the user's map.
// QEMU reports nothing on the memory socket: with keep the monitor's events are taken once a second.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/batched_reads.h"
#include "driver/kit/listener_slot.h"
#include "driver/kit/owner_lease.h"
#include "drivers/pmemaccess/monitor/qemu_monitor.h"
#include "drivers/pmemaccess/session/memory_link.h"
#include "drivers/qemu_protocol/hmp_registers.h"
#include "util/fd_watcher.h"
#include "util/published.h"
#include "util/rate_limit.h"
#include "util/timed_lock.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::pmemaccess {

struct Options {
  std::string monitor;   ///< address (qmp_address.h); empty: none
  std::string socket;    ///< path of a memory socket that was made by somebody else; empty: QEMU is asked
  std::string directory; ///< for the socket that QEMU makes; empty: that of the monitor
  std::string maps;      ///< parse_user_map(); empty: QEMU's
  bool keep = false;     ///< the monitor's connection stays
  std::chrono::milliseconds timeout{2000};
};

class PmemaccessDriver final : public Driver, MemoryWriter, RegisterReader, RunControl {
public:
  static Result<std::unique_ptr<Driver>> attach(Options options, const DriverContext& context);
  PmemaccessDriver(const PmemaccessDriver&) = delete;
  PmemaccessDriver& operator=(const PmemaccessDriver&) = delete;
  ~PmemaccessDriver() override { lease_.end(); }

  const VmIdentity& identity() const override { return identity_; }
  VcpuSet vcpus() const override { return *vcpus_.load(); }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_.load(); }
  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  void poll_layout(bool missed) override;
  /// Events that a kept monitor has sent. QEMU sends that of a resume before a vCPU runs.
  void poll_run_state() override {
    if (hears_events()) {
      monitor_->take_events();
    }
  }
  std::optional<std::chrono::milliseconds> state_delay() const override {
    return hears_events() ? std::optional{kStateDelay} : std::nullopt;
  }
  ReadCost read_cost() const override { return cost_; }
  bool gone() const override { return link_.ended(); }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override { return probe_; }
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  MemoryWriter* memory_writer() override { return this; }
  RegisterReader* register_reader() override { return reads_registers() ? this : nullptr; }
  RunControl* run_control() override { return monitor_ != nullptr ? this : nullptr; }

private:
  PmemaccessDriver(Options options, const DriverContext& context);

  // Attaching (pmemaccess_attach.cpp).
  Result<void> start();
  Result<void> read_monitor();
  MemoryLink::Opened open_session();
  [[nodiscard]] Result<void> check_peer(const MemorySession& session, const MonitorPeer& monitor) const;
  [[nodiscard]] std::string why_no_writes(MonitorSession& session) const;
  [[nodiscard]] Result<void> measure();
  void note(std::string what, bool ok, std::string detail);

  // The monitor's.
  /// Limit for an event that is on its way, or that another thread which uses the monitor takes.
  static constexpr std::chrono::milliseconds kStateDelay{100};
  [[nodiscard]] bool hears_events() const { return options_.keep && monitor_ != nullptr; }
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  const RegisterLayout& register_layout() const override;
  [[nodiscard]] bool usually_has(RegisterIndex reg) const override { return has_register(reg); }
  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override;
  Result<RunStatus> resume() override;
  std::string resume_ticket() const override { return ticket_; }
  [[nodiscard]] bool reads_registers() const;
  Result<void> take_map(MonitorSession& session);
  void take_vcpus(VcpuSet vcpus);
  void on_monitor_event(const QmpEvent& event);

  [[nodiscard]] BatchedReads reads_until(MemoryLink::Clock::time_point deadline);
  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  [[nodiscard]] Result<void> check_write(Gpa gpa, std::size_t size);

  void poll_every_second();
  void post(void (PmemaccessDriver::*job)());
  void refresh_later();
  void revive() { link_.revive(); }

  const Options options_;
  Worker& worker_;
  VmIdentity identity_;
  Published<MemoryMap> map_; ///< never null once attached
  Published<VcpuSet> vcpus_; ///< never null
  ReadCost cost_;            ///< set while attaching only, as those below
  std::size_t max_read_;     ///< of one request
  std::string no_writes_;    ///< why not; empty: QEMU can be asked to write
  std::string ticket_;       ///< empty: without a monitor
  std::vector<ProbeResult> probe_;

  std::atomic<bool> job_pending_{false};
  RateLimit miss_limit_{std::chrono::seconds{1}};   ///< of refreshes after a read of a hole
  RateLimit revive_limit_{std::chrono::seconds{5}}; ///< a monitor that others use must not take a thread

  ListenerSlot listener_;
  std::unique_ptr<QemuMonitor> monitor_; ///< null: none
  MemoryLink link_;
  OwnerLease<PmemaccessDriver> lease_{*this};
  FdWatcher::Watch watch_; ///< last: its callback uses the others
};

} // namespace vmemfs::pmemaccess
