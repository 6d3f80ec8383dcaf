// SPDX-License-Identifier: MIT
#include "fs/privileges/unit_settings.h"

#include "fs/privileges/capabilities.h"

#include <fmt/format.h>
#include <linux/capability.h>

namespace vmemfs {

std::vector<std::string> unit_settings(const Needs& needs) {
  std::string capabilities = capability_name(CAP_SYS_ADMIN);
  for (const auto& capability : needs.capabilities) {
    capabilities += capability.for_network ? "" : " " + capability_name(capability.number);
  }
  std::string calls{"@system-service @mount seccomp"};
  for (const auto& call : needs.system_calls) {
    calls += fmt::format(" {}", call.name);
  }
  std::vector<std::string> lines{"CapabilityBoundingSet=" + capabilities,
                                 "AmbientCapabilities=" + capabilities, "DeviceAllow=/dev/fuse rw"};
  for (const auto& device : needs.devices) {
    lines.push_back(fmt::format("DeviceAllow={} rw", device.path));
  }
  lines.push_back("SystemCallFilter=" + calls);
  return lines;
}

} // namespace vmemfs
