// SPDX-License-Identifier: MIT
// Driver instance for one VM of a VirtualBox with the FDP patch.
//
// All of it goes through one shared memory object, one request at a time: bytes, registers and run state. The
// map is found by reading pages, as FDP tells only how much memory there is. A VM whose connection is lost
// has ended; attaching it again makes a new connection.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/batched_reads.h"
#include "driver/kit/listener_slot.h"
#include "driver/kit/owner_lease.h"
#include "drivers/vbox/guest/guest_control.h"
#include "drivers/vbox/link/fdp_link.h"
#include "util/fd_watcher.h"
#include "util/lane.h"
#include "util/published.h"
#include "util/rate_limit.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::vbox {

struct Options {
  std::string name; ///< of the VM, exactly
  std::string maps; ///< parse_user_map(); empty: they are searched for
  std::chrono::milliseconds timeout{5000};
};

class VboxDriver final : public Driver, MemoryWriter, RegisterReader, RegisterWriter {
public:
  static Result<std::unique_ptr<Driver>> attach(Options options, const DriverContext& context);
  VboxDriver(const VboxDriver&) = delete;
  VboxDriver& operator=(const VboxDriver&) = delete;
  ~VboxDriver() override;

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_.load(); }
  void read(std::span<ReadPiece> pieces) override;
  bool gone() const override { return link_->ended(); }
  Result<void> refresh() override;
  ReadCost read_cost() const override { return cost_; }
  VcpuSet vcpus() const override { return *vcpus_.load(); }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override { return probe_; }
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  MemoryWriter* memory_writer() override { return this; }
  RegisterReader* register_reader() override { return this; }
  RegisterWriter* register_writer() override { return this; }
  RunControl* run_control() override { return &control_; }

private:
  using Clock = FdpLink::Clock;

  VboxDriver(Options options, std::unique_ptr<FdpLink> link, const GuestFacts& facts,
             const DriverContext& context);

  // Attaching (vbox_attach.cpp).
  [[nodiscard]] Result<void> start();
  [[nodiscard]] Result<MemoryMap> make_map();
  void note(std::string what, std::string detail);

  [[nodiscard]] BatchedReads reads_until(Clock::time_point deadline);
  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) override;
  [[nodiscard]] Result<void> check_write(Gpa gpa, std::size_t size) const;
  const RegisterLayout& register_layout() const override;
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  bool usually_has(RegisterIndex reg) const override;
  Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) override;
  [[nodiscard]] Result<void> check_vcpu(VcpuId vcpu) const;
  void take_vcpus(std::uint32_t count);
  void poll_every_second();

  const Options options_;
  ListenerSlot listener_;
  const std::unique_ptr<FdpLink> link_;
  GuestControl control_;
  const VmIdentity identity_;
  Published<MemoryMap> map_;                          ///< never null once attached
  Published<VcpuSet> vcpus_;                          ///< never null
  ReadCost cost_;                                     ///< set while attaching only
  std::vector<ProbeResult> probe_;                    ///< the same
  RateLimit refused_reads_{std::chrono::seconds{10}}; ///< of reports of reads that found VirtualBox in use
  unsigned seconds_ = 0;                              ///< of the watcher's thread
  std::atomic<bool> poll_pending_{false};
  Lane worker_;
  OwnerLease<VboxDriver> lease_{*this};
  FdWatcher::Watch watch_; ///< last: its callback uses the others
};

} // namespace vmemfs::vbox
