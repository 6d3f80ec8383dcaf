// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/domain_vcpus.h"

#include <algorithm>
#include <string>
#include <utility>

namespace vmemfs::libvirt {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Clock::duration kBetweenPolls = std::chrono::seconds{1};
constexpr Clock::duration kMaxBetweenPolls = std::chrono::seconds{60};
/// The time between two polls, as a multiple of the time that one took: calls of other VMs of the connection
/// need it.
constexpr int kShare = 20;

Result<DomainDescription> describe(Domain& domain) {
  return domain.xml().and_then([](const std::string& text) { return parse_domain_xml(text); });
}

} // namespace

Result<void> DomainVcpus::refresh() {
  const auto description = describe(*domain_);
  if (!description) {
    begin_polling();
    return tl::unexpected{description.error()};
  }
  take(*description);
  return {};
}

void DomainVcpus::take(const DomainDescription& description) {
  const auto before = vcpus_.load();
  const bool changed = before != nullptr && *before != description.vcpus;
  vcpus_.store(std::make_shared<const VcpuSet>(description.vcpus));
  if (changed) {
    changed_();
  }
  if (description.vcpus_vary) {
    begin_polling();
  }
}

/// It goes on until the domain has ended, as one with all vCPUs plugged in may look like one that has no
/// others.
void DomainVcpus::begin_polling() {
  if (!polling_.exchange(true)) {
    poll_after(kBetweenPolls);
  }
}

/// The lease is not held during a call of libvirt, so that ending the driver does not wait for it.
void DomainVcpus::poll_after(Clock::duration delay) {
  worker_.post_after(delay, [lease = lease_.share(), domain = domain_] {
    if (!lease.with([](const DomainVcpus&) {})) {
      return;
    }
    const auto begin = Clock::now();
    const auto description = describe(*domain);
    const auto next = std::clamp((Clock::now() - begin) * kShare, kBetweenPolls, kMaxBetweenPolls);
    lease.with([&](DomainVcpus& vcpus) {
      if (description) {
        vcpus.take(*description);
      }
      if (description || description.error().kind != ErrorKind::vm_gone) {
        vcpus.poll_after(next);
      }
    });
  });
}

} // namespace vmemfs::libvirt
