// SPDX-License-Identifier: MIT
// The one-line form of a VM, after --vm or `attach`, and of a discovery, after --discover; both checked
// against the available drivers.
#pragma once

#include "driver/vm_spec.h"

#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// As ParsedVmSpec; a single word that is not a driver's name is taken as a VM's.
struct VmLine {
  VmSpec spec;
  std::vector<std::string> problems; ///< all that is found before anything is opened
};

[[nodiscard]] VmLine read_vm_line(std::string_view text);

/// The form of such a line, for error messages.
inline constexpr std::string_view kVmLineForm = "[NAME=]DRIVER[:KEY=VALUE,...]";

/// The same for DRIVER[:KEY=VALUE,...]: a spec without a name, as open_discovery() takes it.
[[nodiscard]] VmLine read_discovery_line(std::string_view text);

inline constexpr std::string_view kDiscoveryLineForm = "DRIVER[:KEY=VALUE,...]";

} // namespace vmemfs
