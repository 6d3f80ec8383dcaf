// SPDX-License-Identifier: MIT
// Shell completion of vmemfs command lines. The shell's side is packaging/completion/vmemfs.bash, which runs
// `vmemfs __complete WORD...`.
#pragma once

#include "fs/cli/options.h"

#include <string>
#include <vector>

namespace vmemfs {

/// Completions of the last word: whole words that begin with it. None if a file name is expected. A word that
/// ends in '=', ':' or ',' is not complete yet.
[[nodiscard]] std::vector<std::string> complete(const Completion& typed);

/// Prints one completion per line. Returns the process's exit code.
[[nodiscard]] int print_completions(const Completion& typed);

} // namespace vmemfs
