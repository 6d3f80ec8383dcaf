// SPDX-License-Identifier: MIT
// A VM as the user writes it in one line, after --vm or `attach`, and who looks for VMs, after --discover;
// both checked against what drivers there are.
#pragma once

#include "driver/vm_spec.h"

#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// As ParsedVmSpec; a lone word that is no driver's name has become a VM's.
struct VmLine {
  VmSpec spec;
  std::vector<std::string> problems; ///< all that can be told before anything is opened
};

[[nodiscard]] VmLine read_vm_line(std::string_view text);

/// The form of such a line, for those who got it wrong.
inline constexpr std::string_view kVmLineForm = "[NAME=]DRIVER[:KEY=VALUE,...]";

/// The same for DRIVER[:KEY=VALUE,...]: a spec without a name, as open_discovery() takes it.
[[nodiscard]] VmLine read_discovery_line(std::string_view text);

inline constexpr std::string_view kDiscoveryLineForm = "DRIVER[:KEY=VALUE,...]";

} // namespace vmemfs
