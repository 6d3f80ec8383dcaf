// The command line.
#pragma once

#include "core/error.h"
#include "driver/params.h"

#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

struct MountOptions {
  std::vector<VmSpec> vms;
  std::string mountpoint;                ///< absolute
  std::vector<std::string> fuse_options; ///< each one mount option
  bool foreground = false;
  bool debug = false;
  bool writable = false;
};

struct ListDrivers {
  std::string name; ///< empty: all
};

/// What the user asked for; at most one is set. Neither: everything was said already (--help).
struct CommandLine {
  std::optional<MountOptions> mount;
  std::optional<ListDrivers> drivers;
  int exit_code = 0; ///< where neither is set
};

/// Prints help, version and complaints by itself.
[[nodiscard]] CommandLine parse_command_line(int argc, char** argv);

} // namespace vmemfs
