// SPDX-License-Identifier: MIT
// Configuration file, in TOML:
//
//   [mount]             settings of the mount: mount_specs()
//   KEY = VALUE
//   [vm.NAME]           the VM with this directory name
//   driver = "DRIVER"   with the driver's parameters: the VM is attached whenever it runs
//   KEY = VALUE         options of this VM (vm_option_specs()), also for a discovered one
#pragma once

#include "driver/vm_spec.h"

#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

struct ConfiguredVm {
  VmSpec spec;
  bool attach; ///< false: options only, used when the VM is discovered or attached by hand
};

struct Config {
  std::vector<KeyValue> mount; ///< checked, each at most once
  std::vector<ConfiguredVm> vms;
  std::vector<std::string> problems; ///< all errors, "FILE:LINE: sentence", in the order of the lines
};

enum class ConfigSource : unsigned char {
  named_by_user, ///< with --config: whatever is in it, the user wants it
  found,         ///< by find_config(): none but the user and root may have been able to write it
};

/// Reads a regular file of at most 1 MiB, and nothing else.
[[nodiscard]] Config read_config(const std::string& path, ConfigSource source = ConfigSource::named_by_user);

/// The first of these that exists: $XDG_CONFIG_HOME/vmemfs/config.toml (with ~/.config if $XDG_CONFIG_HOME is
/// not set), /etc/vmemfs/config.toml. Does not check that it can be read.
[[nodiscard]] std::optional<std::string> find_config();

} // namespace vmemfs
