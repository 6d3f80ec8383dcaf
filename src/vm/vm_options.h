// SPDX-License-Identifier: MIT
// Options of the VMs of a mount.
#pragma once

#include "driver/params.h"
#include "vm/cache/cache_settings.h"

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs {

/// Owner and permissions of a VM's files.
struct FileRights {
  std::optional<uid_t> owner; ///< nullopt: the user who mounted
  std::optional<gid_t> group;
  /// Permission bits (0666 at most) of a writable file; a read-only file has no write bits. A directory
  /// may be entered by everyone who may read.
  mode_t mode = 0600;
};

struct VmOptions {
  bool writable = false;
  CacheMode cache_kernel = CacheMode::automatic;
  std::chrono::milliseconds cache_ttl{0};
  FileRights rights{};
};

/// Declarations of the options, for one VM or for all. None has a default: an option that is not given is
/// unchanged.
[[nodiscard]] std::span<const ParamSpec> vm_option_specs();

/// Applies the values in `said` that are in vm_option_specs() to `options`.
void set_options(const Params& said, VmOptions& options);

/// The options of every VM, by the name of its directory.
struct VmOptionsTable {
  VmOptions general;
  std::map<std::string, VmOptions, std::less<>>
      by_name; ///< complete options, with the general ones filled in

  [[nodiscard]] const VmOptions& of(std::string_view name) const {
    const auto found = by_name.find(name);
    return found == by_name.end() ? general : found->second;
  }
};

} // namespace vmemfs
