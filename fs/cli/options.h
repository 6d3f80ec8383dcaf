// SPDX-License-Identifier: MIT
// Command line of vmemfs and the request that it makes.
#pragma once

#include "fs/config/mount_options.h"
#include "fs/save/save_options.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

struct ListDrivers {
  std::string name; ///< empty: all
};

struct ListVms {
  bool json = false;
  std::vector<VmSpec> discoveries; ///< as in MountOptions
};

struct CheckHost {
  bool unit = false; ///< print settings of the systemd unit instead
};

/// The subcommand that a shell runs for completions.
inline constexpr std::string_view kCompleteSubcommand = "__complete";

/// A request of a shell for completions of a command line.
struct Completion {
  std::vector<std::string> words;   ///< after the program's name; the last one is incomplete and may be empty
  std::vector<std::string> options; ///< of the command line
  std::vector<std::string> options_of_list{};
  std::vector<std::string> options_of_save{};
};

/// The user's request; at most one is set. None: everything is done already (--help).
struct CommandLine {
  std::optional<MountOptions> mount;
  std::optional<ListDrivers> drivers;
  std::optional<ListVms> list;
  std::optional<CheckHost> check;
  std::optional<SaveOptions> save;
  std::optional<Completion> completion;
  bool guardian = false; ///< started by vmemfs itself: see fs/guardian/guardian_process.h
  int exit_code = 0;     ///< if none is set
};

/// Includes the configuration file, which the command line overrides. Prints help, version and errors.
[[nodiscard]] CommandLine parse_command_line(int argc, char** argv);

} // namespace vmemfs
