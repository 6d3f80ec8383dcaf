// What can be set for each VM of a mount.
#pragma once

#include "driver/params.h"

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs {

/// Whose a VM's files are, and who may use them.
struct FileRights {
  std::optional<uid_t> owner; ///< nothing: who mounted
  std::optional<gid_t> group;
  /// Permission bits (0666 at most) of a file that takes writes; one that takes none has no write bits. A
  /// directory may be entered by whoever may read.
  mode_t mode = 0600;
};

struct VmOptions {
  bool writable = false;
  std::chrono::milliseconds cache_ttl{0};
  FileRights rights{};
};

/// As the user sets them, for one VM or for all. None has a fallback: what is not said stays as it is.
[[nodiscard]] std::span<const ParamSpec> vm_option_specs();

/// Those of `said` that are vm_option_specs(), over `options`.
void set_options(const Params& said, VmOptions& options);

/// The options of every VM, by the name of its directory.
struct VmOptionsTable {
  VmOptions general;
  std::map<std::string, VmOptions, std::less<>> by_name; ///< whole options, with the general ones filled in

  [[nodiscard]] const VmOptions& of(std::string_view name) const {
    const auto found = by_name.find(name);
    return found == by_name.end() ? general : found->second;
  }
};

} // namespace vmemfs
