// SPDX-License-Identifier: MIT
// The symbols of the modules of a guest's kernel, as /proc/kallsyms lists them behind the kernel's own.
#pragma once

#include "core/error.h"
#include "linux/running_kernel.h"

#include <cstddef>
#include <string>

namespace vmemfs {

/// Max size of the text. That of a large system has 10 MB.
inline constexpr std::size_t kMaxModuleSymbols = std::size_t{32} << 20U;

/// Lines `ADDRESS LETTER NAME\t[MODULE]` with 16 hex digits, in the order of /proc/kallsyms: the letter is
/// upper case if the module exports the symbol, other than for GPL alone. Empty: the kernel has no modules.
/// What /proc/kallsyms has behind them is not there: BPF programs, and places of ftrace and kprobes.
///
/// The guest is not paused. If the list of modules changes while it is read, it is read again, at most two
/// times; if it never was complete, the text has a last line that begins with "# incomplete: " and says why.
/// So it has if the kernel's types lack something. Waits for the guest's memory. timed_out: the limit of the
/// calling thread's work is reached.
[[nodiscard]] Result<std::string> module_symbols(const RunningKernel& kernel);

/// That last line for a kernel with modules that cannot be read at all.
[[nodiscard]] std::string no_module_symbols(const Error& why);

} // namespace vmemfs
