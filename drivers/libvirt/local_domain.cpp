// SPDX-License-Identifier: MIT
#include "drivers/libvirt/local_domain.h"

#include "core/text.h"
#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::libvirt {

LocalDomain::LocalDomain(std::shared_ptr<Domain> domain, ProcessDrivers drivers, bool passthrough,
                         const DriverContext& context)
    : ForwardingDriver{std::move(drivers.memory)}, domain_{std::move(domain)},
      identity_{domain_->identity(inner().identity().key)}, passthrough_{passthrough},
      no_kvm_{std::move(drivers.no_kvm)} {
  RunControl* const truth = ForwardingDriver::run_control();
  if (passthrough_ && ForwardingDriver::register_reader() == nullptr) {
    registers_.find_architecture();
  }
  if (inner().identity().driver == "xen" && truth != nullptr) {
    xen_control_.emplace(*domain_, *truth);
  }
  if (truth == nullptr) {
    vcpus_.emplace(domain_, context.worker, [this] { listener_.emit(VmEvent::vcpus_changed); });
    refresh_vcpus();
  }
  if (drivers.kvm != nullptr) {
    kvm_.emplace(std::move(drivers.kvm), [this] { return vcpus(); });
  }
}

/// The listener belongs to the VM, which ends first; remaining events must not reach it.
LocalDomain::~LocalDomain() { LocalDomain::set_listener(nullptr); }

void LocalDomain::set_listener(VmListener* listener) {
  ForwardingDriver::set_listener(listener);
  listener_.set(listener);
}

VcpuSet LocalDomain::vcpus() const {
  const auto known = vcpus_ ? vcpus_->load() : nullptr;
  return known != nullptr ? *known : ForwardingDriver::vcpus();
}

Result<void> LocalDomain::refresh() {
  refresh_vcpus();
  return ForwardingDriver::refresh();
}

/// Without libvirt the last ones stay, as memory is shown without it too.
void LocalDomain::refresh_vcpus() {
  const auto refreshed = vcpus_ ? vcpus_->refresh() : Result<void>{};
  if (!refreshed) {
    log::debug("libvirt: cannot read the vCPUs of {}: {}", printable(identity_.name),
               refreshed.error().message());
  }
}

RunControl* LocalDomain::run_control() {
  return xen_control_ ? static_cast<RunControl*>(&*xen_control_) : domain_.get();
}

RegisterReader* LocalDomain::register_reader() {
  if (RegisterReader* const by_memory = ForwardingDriver::register_reader()) {
    return by_memory;
  }
  if (passthrough_) {
    return registers_.supported() ? &registers_ : nullptr;
  }
  return kvm_ ? &*kvm_ : nullptr;
}

std::string LocalDomain::describe_registers(const std::string& by_memory) const {
  if (inner().register_reader() != nullptr) {
    return by_memory;
  }
  if (passthrough_) {
    return registers_.describe();
  }
  if (kvm_) {
    return kvm_->describe();
  }
  const std::string none = fmt::format("{}; {}", by_memory, kHowToConsent);
  return no_kvm_.empty() ? none : fmt::format("{}; or by KVM: {}", none, no_kvm_);
}

AccessReport LocalDomain::access() const {
  AccessReport report = ForwardingDriver::access();
  report.run_control =
      fmt::format("libvirt: suspend and resume at {}", name_of_uri(domain_->connection().uri()));
  report.registers = describe_registers(report.registers);
  return report;
}

std::vector<ProbeResult> LocalDomain::probe() const {
  std::vector<ProbeResult> results{
      {"driver", true,
       fmt::format(
           "libvirt for {}, and driver {} for {}: the domain runs on this host. --discover {} uses that "
           "driver only",
           xen_control_ ? "control" : "state and control", inner().identity().driver,
           xen_control_ ? "memory and state" : "memory", inner().identity().driver)}};
  const auto link = domain_->connection().link();
  results.push_back(
      {"libvirt", link.has_value(), link ? "connected, and reports events" : link.error().message()});
  for (ProbeResult& result : ForwardingDriver::probe()) {
    results.push_back(std::move(result));
  }
  return results;
}

} // namespace vmemfs::libvirt
