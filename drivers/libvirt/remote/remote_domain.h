// SPDX-License-Identifier: MIT
// A domain of which the process cannot be reached, usually on another host: everything through libvirt's
// calls.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "driver/kit/owner_lease.h"
#include "drivers/libvirt/domain/domain.h"
#include "drivers/libvirt/domain/domain_listener.h"
#include "drivers/libvirt/domain/domain_vcpus.h"
#include "drivers/libvirt/domain/monitor_registers.h"
#include "drivers/libvirt/remote/peeker.h"
#include "drivers/libvirt/remote/remote_map.h"
#include "util/rate_limit.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::libvirt {

class RemoteDomain final : public Driver {
public:
  struct Options {
    bool passthrough;       ///< QEMU's monitor may be used, which taints the domain
    bool may_allocate;      ///< reading may allocate memory of the guest
    std::string why_remote; ///< why its process cannot be reached, as text
  };
  static Result<std::unique_ptr<RemoteDomain>> attach(std::shared_ptr<Domain> domain, Options options,
                                                      const DriverContext& context);

  RemoteDomain(const RemoteDomain&) = delete;
  RemoteDomain& operator=(const RemoteDomain&) = delete;
  ~RemoteDomain() override;

  const VmIdentity& identity() const override { return identity_; }
  VcpuSet vcpus() const override {
    const auto known = vcpus_.load();
    return known != nullptr ? *known : VcpuSet{};
  }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_->load(); }
  void read(std::span<ReadPiece> pieces) override;
  Result<void> refresh() override;
  void poll_layout(bool missed) override;
  std::optional<std::chrono::milliseconds> state_delay() const override { return listener_.state_delay(); }
  ReadCost read_cost() const override { return cost_; }
  bool gone() const override { return listener_.ended(); }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override { listener_.set(listener); }
  RegisterReader* register_reader() override {
    return options_.passthrough && registers_.supported() ? &registers_ : nullptr;
  }
  RunControl* run_control() override { return domain_.get(); }

private:
  RemoteDomain(std::shared_ptr<Domain> domain, Options options, const DriverContext& context);

  void refresh_later();
  void post_refresh(std::chrono::milliseconds delay);
  void note_refresh(Result<bool> refreshed, unsigned seen);

  const std::shared_ptr<Domain> domain_;
  const Options options_;
  const std::shared_ptr<RemoteMap> map_;
  Worker& worker_;
  const VmIdentity identity_;
  Peeker peeker_{domain_};
  ReadCost cost_; ///< set only while attaching
  MonitorRegisters registers_{*domain_};
  std::atomic<unsigned> refreshes_wanted_{0};     ///< since the last one began; 0: none is pending
  std::string refresh_error_;                     ///< of the last refresh; only for the job's thread
  RateLimit miss_limit_{std::chrono::seconds{1}}; ///< of refreshes because somebody read a hole
  DomainListener listener_{*domain_};
  DomainVcpus vcpus_;
  OwnerLease<RemoteDomain> lease_{*this};
  Connection::Subscription devices_; ///< last: its callback uses the rest
};

} // namespace vmemfs::libvirt
