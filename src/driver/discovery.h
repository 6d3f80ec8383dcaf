// SPDX-License-Identifier: MIT
// Interface of the discovery of VMs by a driver type.
#pragma once

#include "core/error.h"

#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace vmemfs {

/// A running VM, and the parameters that open it. Nothing here is trusted: names are chosen by the VM's
/// owner.
struct FoundVm {
  /// Identifies this VM among all VMs of all drivers, and is the same for every driver that finds it;
  /// equal to VmIdentity::key. For a VM that is a process of this host: process_key(); for a domain of
  /// this host's Xen: xen_domain_key().
  std::string key;
  std::string name;   ///< as the hypervisor reports it; may be empty
  std::string uuid;   ///< may be empty
  std::string number; ///< distinguishes VMs of one name, valid in a file name: pid, domain id
  std::string params; ///< in the syntax after `DRIVER:`
  /// The driver that appears to manage this VM and offers more functions for it; worth a wait. Empty:
  /// none.
  std::string manager{};
  /// The user whose process or file of this host it is; none if it is neither.
  std::optional<uid_t> owner{};
};

/// Ids are reused after a while, uuids by the next start.
[[nodiscard]] inline std::string xen_domain_key(std::uint32_t id, std::string_view uuid) {
  return fmt::format("{}.{}", id, uuid);
}

class Discovery {
public:
  Discovery() = default;
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;
  virtual ~Discovery() = default;

  /// Called once, before the first scan: starts slow initialization, and returns at once. The first scan
  /// may wait for it until `patience`.
  virtual void begin(std::chrono::steady_clock::time_point /*patience*/) {}

  /// All VMs that exist now, the oldest first. Called about twice a second, by one thread at a time, so
  /// it must be cheap, and must query no VM and no monitor: a driver that receives events keeps the list
  /// and answers from it. A VM may be listed before it can be opened.
  [[nodiscard]] virtual Result<std::vector<FoundVm>> scan() = 0;
};

} // namespace vmemfs
