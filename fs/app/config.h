// SPDX-License-Identifier: MIT
// The configuration file, in TOML:
//
//   [mount]             settings of the mount: mount_specs()
//   KEY = VALUE
//   [vm.NAME]           the VM whose directory is called so
//   driver = "DRIVER"   with the driver's parameters: it is attached whenever it is there
//   KEY = VALUE         options of this VM (vm_option_specs()), also for one that was found
#pragma once

#include "driver/vm_spec.h"

#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

struct ConfiguredVm {
  VmSpec spec;
  bool attach; ///< false: only has options, for when it is found or attached by hand
};

struct Config {
  std::vector<KeyValue> mount; ///< checked, each once
  std::vector<ConfiguredVm> vms;
  std::vector<std::string> problems; ///< all that is wrong, "FILE:LINE: sentence", in the order of the lines
};

[[nodiscard]] Config read_config(const std::string& path);

/// The first of these that is there: $XDG_CONFIG_HOME/vmemfs/config.toml (~/.config instead of
/// $XDG_CONFIG_HOME, where that is not set), /etc/vmemfs/config.toml. Whether it can be read is not asked.
[[nodiscard]] std::optional<std::string> find_config();

} // namespace vmemfs
