// SPDX-License-Identifier: MIT
// The processes of a guest, as ps(1) lists them.
#pragma once

#include "core/error.h"
#include "linux/running_kernel.h"

#include <string>

namespace vmemfs {

/// A header line and a line for each process, with tabs between the columns: pid, parent's pid, real user id,
/// state (the letters of ps), name, path of the program, command line. "-": there is none, as of kernel
/// threads; "?": it cannot be read, for example because it was swapped out. Bytes that are not printable
/// ASCII are shown as \xNN. The last line begins with "# complete: " or "# incomplete: " and says how many
/// processes there are, or why some are missing. Threads of a process are not listed.
///
/// The guest is not paused; see TaskList about what that means. Waits for the guest's memory. no_data: the
/// kernel's symbols or types lack something. timed_out: the limit of the calling thread's work is reached.
[[nodiscard]] Result<std::string> process_list(const RunningKernel& kernel);

} // namespace vmemfs
