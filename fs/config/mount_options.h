// SPDX-License-Identifier: MIT
// Options of a mount: from the command line, which overrides the configuration file.
#pragma once

#include "driver/vm_spec.h"
#include "vm/vm_options.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

struct MountOptions {
  std::vector<VmSpec> vms;         ///< must be attached, else nothing is mounted
  std::vector<VmSpec> wanted;      ///< attached whenever they run
  bool discover = true;            ///< VMs are discovered and attached automatically
  std::vector<VmSpec> discoveries; ///< drivers that scan for VMs, with parameters; empty: all, on this host
  std::string mountpoint;          ///< absolute
  std::vector<std::string> fuse_options; ///< one mount option each
  bool remount = false;                  ///< nothing is mounted: the mount that is there gets the options
  bool foreground = false;
  bool debug = false;
  std::uint64_t cache_size = std::uint64_t{64} << 20U; ///< bytes, for all VMs together
  VmOptionsTable vm_options;

  /// Whether the kernel gives others than root and the user who mounts access: with -o allow_other.
  [[nodiscard]] bool for_others() const {
    return std::ranges::find(fuse_options, "allow_other") != fuse_options.end();
  }
};

/// A command line, split into its options but not checked.
struct MountArguments {
  std::vector<std::string> positionals{}; ///< [SOURCE] MOUNTPOINT
  std::vector<std::string> vms{};         ///< values of --vm
  std::vector<std::string> discoveries{}; ///< values of --discover
  std::vector<std::string> fuse{};        ///< values of -o
  std::optional<std::string> config{};    ///< nullopt: find_config() is used
  std::vector<KeyValue> settings{};       ///< of mount_specs(); if one is given twice, the last counts
};

struct MadeOptions {
  MountOptions options;
  std::vector<std::string>
      problems; ///< all errors, one sentence each; if there are any, `options` is not valid
};

/// Reads the configuration file.
[[nodiscard]] MadeOptions make_mount_options(MountArguments arguments);

/// The same for `vmemfs list`, which does not mount: only `discoveries` is set.
[[nodiscard]] MadeOptions make_list_options(MountArguments arguments);

} // namespace vmemfs
