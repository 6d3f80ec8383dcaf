// SPDX-License-Identifier: MIT
#include "drivers/libvirt/local_domain.h"

#include "core/text.h"
#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::libvirt {

LocalDomain::LocalDomain(std::shared_ptr<Domain> domain, std::unique_ptr<Driver> memory, bool passthrough,
                         const DriverContext& context)
    : ForwardingDriver{std::move(memory)}, domain_{std::move(domain)},
      identity_{domain_->identity(inner().identity().key)}, passthrough_{passthrough} {
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
  RegisterReader* const inner_reader = ForwardingDriver::register_reader();
  return inner_reader != nullptr || !passthrough_ || !registers_.supported() ? inner_reader : &registers_;
}

AccessReport LocalDomain::access() const {
  AccessReport report = ForwardingDriver::access();
  report.run_control =
      fmt::format("libvirt: suspend and resume at {}", name_of_uri(domain_->connection().uri()));
  if (inner().register_reader() == nullptr) {
    report.registers =
        passthrough_ ? registers_.describe() : fmt::format("{}; {}", report.registers, kHowToConsent);
  }
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
