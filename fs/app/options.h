// SPDX-License-Identifier: MIT
// The command line, and all that is asked for with it.
#pragma once

#include "fs/app/mount_options.h"

#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

struct ListDrivers {
  std::string name; ///< empty: all
};

struct ListVms {
  bool json = false;
  std::vector<VmSpec> discoveries; ///< as those of MountOptions
};

struct CheckHost {};

/// What a shell asks for while a command line is being typed.
struct Completion {
  std::vector<std::string> words;   ///< after the program's name; the last is being typed, perhaps empty
  std::vector<std::string> options; ///< of the command line
  std::vector<std::string> options_of_list{};
};

/// What the user asked for; at most one is set. None: everything was said already (--help).
struct CommandLine {
  std::optional<MountOptions> mount;
  std::optional<ListDrivers> drivers;
  std::optional<ListVms> list;
  std::optional<CheckHost> check;
  std::optional<Completion> completion;
  bool guardian = false; ///< not the user but vmemfs itself: see fs/app/guardian_process.h
  int exit_code = 0;     ///< where none is set
};

/// With what the configuration file says, which the command line outdoes. Prints help, version and complaints
/// by itself.
[[nodiscard]] CommandLine parse_command_line(int argc, char** argv);

} // namespace vmemfs
