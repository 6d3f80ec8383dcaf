#include "drivers/libvirt/local_domain.h"

#include "core/text.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::libvirt {

LocalDomain::LocalDomain(std::shared_ptr<Domain> domain, std::unique_ptr<Driver> memory, bool passthrough)
    : ForwardingDriver{std::move(memory)}, domain_{std::move(domain)},
      identity_{domain_->identity(inner().identity().key)}, passthrough_{passthrough} {}

/// The listener is the VM's, which ends first; what is left must not be called from here on.
LocalDomain::~LocalDomain() { LocalDomain::set_listener(nullptr); }

void LocalDomain::set_listener(VmListener* listener) {
  ForwardingDriver::set_listener(listener);
  listener_.set(listener);
}

RegisterReader* LocalDomain::register_reader() {
  RegisterReader* const own = ForwardingDriver::register_reader();
  return own != nullptr || !passthrough_ ? own : &registers_;
}

AccessReport LocalDomain::access() const {
  AccessReport report = ForwardingDriver::access();
  report.run_control =
      fmt::format("libvirt: suspend and resume at {}", name_of_uri(domain_->connection().uri()));
  if (report.registers.starts_with("none")) {
    report.registers = passthrough_ ? "read: HMP info registers through libvirt; set: not by this driver"
                                    : fmt::format("{}; {}", report.registers, kHowToConsent);
  }
  return report;
}

std::vector<ProbeResult> LocalDomain::probe() const {
  std::vector<ProbeResult> results{
      {"driver", true,
       fmt::format("libvirt for state and control, and driver {} for memory: the domain is a process of this "
                   "host. --discover {} takes that driver alone",
                   inner().identity().driver, inner().identity().driver)}};
  const auto link = domain_->connection().link();
  results.push_back(
      {"libvirt", link.has_value(), link ? "connected, and tells what happens" : link.error().message()});
  for (ProbeResult& result : ForwardingDriver::probe()) {
    results.push_back(std::move(result));
  }
  return results;
}

} // namespace vmemfs::libvirt
