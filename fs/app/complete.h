// SPDX-License-Identifier: MIT
// What a shell may offer while a command line of vmemfs is being typed. The shell's side is
// packaging/completion/vmemfs.bash, which asks `vmemfs __complete WORD...`.
#pragma once

#include "fs/app/options.h"

#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

inline constexpr std::string_view kCompleteSubcommand = "__complete";

/// What the last word may become: whole words, all beginning as it does. None where any file name may stand.
/// A word that ends in '=', ':' or ',' goes on.
[[nodiscard]] std::vector<std::string> complete(const Completion& typed);

/// One a line. Returns the process's exit code.
[[nodiscard]] int print_completions(const Completion& typed);

} // namespace vmemfs
