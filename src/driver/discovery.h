// How a kind of driver finds VMs by itself.
#pragma once

#include "core/error.h"

#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// A VM that runs, and what it takes to open it. Nothing here is trusted: names are the VM owner's choice.
struct FoundVm {
  /// Names this very VM among all that any driver ever finds, and is the same whichever finds it; as
  /// VmIdentity::key. For a VM that is a process of this host: process_key(); for a domain of this host's
  /// Xen: xen_domain_key().
  std::string key;
  std::string name;   ///< as the hypervisor has it; may be empty
  std::string uuid;   ///< may be empty
  std::string number; ///< what tells VMs of one name apart, fit for a file name: pid, domain id
  std::string params; ///< as after `DRIVER:`
  /// The driver that has this VM in its charge, as far as can be seen, and does more with it; it is worth a
  /// wait. Empty: none.
  std::string manager{};
};

/// Ids are used again after a while, uuids by the next start.
[[nodiscard]] inline std::string xen_domain_key(std::uint32_t id, std::string_view uuid) {
  return fmt::format("{}.{}", id, uuid);
}

class Discovery {
public:
  Discovery() = default;
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;
  virtual ~Discovery() = default;

  /// Called once, before the first look: starts what takes a while, and returns at once. Until `patience` the
  /// first look may wait for that.
  virtual void begin(std::chrono::steady_clock::time_point /*patience*/) {}

  /// All VMs that there are now, the oldest first. Called about twice a second, by one thread at a time, so
  /// it has to be cheap, and it asks no VM and no monitor: a driver that hears of changes keeps the list and
  /// answers from it. A VM may be listed before it can be opened.
  [[nodiscard]] virtual Result<std::vector<FoundVm>> scan() = 0;
};

} // namespace vmemfs
