// SPDX-License-Identifier: MIT
// The list of VMs of a host, as `vmemfs list` shows it.
#pragma once

#include "vm/discovery/vm_finder.h"
#include "vm/vm_registry.h"

#include <string>
#include <vector>

namespace vmemfs {

struct ListedVm {
  std::string directory; ///< the name of its directory; empty: it cannot be attached
  std::string name;      ///< its own, not trusted; may be empty, as may the UUID
  std::string uuid;
  std::string driver;
  std::string number; ///< pid, domain id
  std::string params; ///< as after `DRIVER:`; those it was found with
  /// Of its Linux kernel, not trusted; empty: nothing says it without a search.
  std::string release{};
  std::string reason; ///< why it cannot be attached, with the remedy; empty: it can
};

/// In the order of their start, driver by driver.
[[nodiscard]] std::vector<ListedVm> listed_vms(const std::vector<DiscoveredVm>& discovered_vms,
                                               const VmRegistry& vms);

/// A table; below a VM that cannot be attached, a line with the reason.
[[nodiscard]] std::string vm_list_text(const std::vector<ListedVm>& vms);

/// An array of objects; `attachable` is the result of the attempt, `reason` is null if it succeeded.
[[nodiscard]] std::string vm_list_json(const std::vector<ListedVm>& vms);

} // namespace vmemfs
