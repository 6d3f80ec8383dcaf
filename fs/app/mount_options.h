// SPDX-License-Identifier: MIT
// What is to be mounted and how: what the command line says, over what the configuration file says.
#pragma once

#include "driver/vm_spec.h"
#include "vm/vm_options.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vmemfs {

struct MountOptions {
  std::vector<VmSpec> vms;               ///< must be there, else nothing is mounted
  std::vector<VmSpec> wanted;            ///< are attached whenever they are there
  bool discover = true;                  ///< VMs of this host are found and attached by themselves
  std::vector<VmSpec> discoveries;       ///< which drivers look for VMs, and where; empty: all, on this host
  std::string mountpoint;                ///< absolute
  std::vector<std::string> fuse_options; ///< each one mount option
  bool foreground = false;
  bool debug = false;
  std::uint64_t cache_size = std::uint64_t{64} << 20U; ///< bytes, for all VMs together
  VmOptionsTable vm_options;
};

/// A command line, split into its options but not looked at.
struct MountArguments {
  std::vector<std::string> positionals; ///< [SOURCE] MOUNTPOINT
  std::vector<std::string> vms;         ///< each after --vm
  std::vector<std::string> discoveries; ///< each after --discover
  std::vector<std::string> fuse;        ///< each after -o
  std::string config;                   ///< empty: from the usual places
  std::vector<KeyValue> settings;       ///< of mount_specs(); where one is said twice the last counts
};

struct MadeOptions {
  MountOptions options;
  std::vector<std::string> problems; ///< all that is wrong, one sentence each; `options` means nothing then
};

/// Reads the configuration file.
[[nodiscard]] MadeOptions make_mount_options(MountArguments arguments);

/// The same where nothing is to be mounted: of the options only `discoveries` means anything.
[[nodiscard]] MadeOptions make_list_options(MountArguments arguments);

} // namespace vmemfs
