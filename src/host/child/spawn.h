// SPDX-License-Identifier: MIT
// Start of another program as a child process, which inherits nothing but what it is given.
#pragma once

#include "core/error.h"

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace vmemfs {

struct SpawnedProgram {
  std::string path;
  std::vector<std::string> arguments; ///< from its own name on
  std::vector<int> descriptors;       ///< its descriptors 0, 1, 2, and so on; it has no others
  bool blocks_signals = false;        ///< it starts with all signals blocked, else with none
};

/// In a session of its own, with the default action of every signal, and with the rights and the environment
/// of this process. The caller waits for the process. The error says that the program cannot be run.
[[nodiscard]] Result<pid_t> spawn(const SpawnedProgram& program, std::string_view origin);

} // namespace vmemfs
