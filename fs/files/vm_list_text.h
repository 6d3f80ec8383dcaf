// SPDX-License-Identifier: MIT
// The VMs of a host as `vmemfs list` shows them.
#pragma once

#include "vm/vm_finder.h"
#include "vm/vm_registry.h"

#include <string>
#include <vector>

namespace vmemfs {

struct ListedVm {
  std::string directory; ///< what its directory is called; empty: it can't be attached
  std::string name;      ///< its own, not trusted; may be empty, as the next one
  std::string uuid;
  std::string driver;
  std::string number; ///< pid, domain id
  std::string params; ///< as after `DRIVER:`; those it was found with
  std::string reason; ///< why it can't be attached, with the remedy; empty: it can
};

/// In the order in which they began, driver by driver.
[[nodiscard]] std::vector<ListedVm> listed_vms(const std::vector<DiscoveredVm>& discovered_vms,
                                               const VmRegistry& vms);

/// A table, with the reason in a line of its own below a VM that can't be attached.
[[nodiscard]] std::string vm_list_text(const std::vector<ListedVm>& vms);

/// An array of objects; `attachable` tells of what was tried, `reason` is null where it succeeded.
[[nodiscard]] std::string vm_list_json(const std::vector<ListedVm>& vms);

} // namespace vmemfs
