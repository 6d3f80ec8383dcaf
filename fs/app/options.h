// The command line.
#pragma once

#include "core/error.h"
#include "driver/params.h"
#include "vm/vm_options.h"

#include <cstdint>
#include <optional>
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

struct ListDrivers {
  std::string name; ///< empty: all
};

/// What the user asked for; at most one is set. None: everything was said already (--help).
struct CommandLine {
  std::optional<MountOptions> mount;
  std::optional<ListDrivers> drivers;
  bool guardian = false; ///< not the user but vmemfs itself: see fs/app/guardian_process.h
  int exit_code = 0;     ///< where none is set
};

/// Prints help, version and complaints by itself.
[[nodiscard]] CommandLine parse_command_line(int argc, char** argv);

} // namespace vmemfs
