// SPDX-License-Identifier: MIT
// The vCPUs of a domain by its description, for a domain whose VMM cannot be asked itself.
#pragma once

#include "core/vcpu_set.h"
#include "driver/kit/owner_lease.h"
#include "drivers/libvirt/domain/domain.h"
#include "drivers/libvirt/domain/domain_xml.h"
#include "util/published.h"
#include "util/worker.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

namespace vmemfs::libvirt {

/// Thread-safe. libvirt has no event for vCPUs, so the description is read again about once a second, but
/// only of a domain that can plug or unplug them, and never more than a twentieth of the time.
class DomainVcpus {
public:
  /// `changed` is called on any thread, must return soon, and is used until the destructor has returned.
  DomainVcpus(std::shared_ptr<Domain> domain, Worker& worker, std::function<void()> changed)
      : domain_{std::move(domain)}, worker_{worker}, changed_{std::move(changed)} {}

  /// Null before the first refresh() that succeeded.
  [[nodiscard]] std::shared_ptr<const VcpuSet> load() const { return vcpus_.load(); }

  /// Reads them again, and from then on by itself if they can change. Waits for libvirt.
  Result<void> refresh();

private:
  void take(const DomainDescription& description);
  void begin_polling();
  void poll_after(std::chrono::steady_clock::duration delay);

  const std::shared_ptr<Domain> domain_;
  Worker& worker_;
  const std::function<void()> changed_;
  Published<VcpuSet> vcpus_;
  std::atomic<bool> polling_{false};
  OwnerLease<DomainVcpus> lease_{*this}; ///< last: ends first
};

} // namespace vmemfs::libvirt
