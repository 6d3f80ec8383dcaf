// SPDX-License-Identifier: MIT
// The modules of a guest's kernel, as lsmod(8) lists them.
#pragma once

#include "core/error.h"
#include "linux/running_kernel.h"

#include <string>

namespace vmemfs {

/// A header line and a line for each module, with tabs between the columns: name, size in bytes, number of
/// references ("-" if the kernel cannot unload modules), state (Live, Loading or Unloading), address of its
/// code. Order and numbers are those of /proc/modules. The last line begins with "# complete: " or "#
/// incomplete: ".
///
/// The guest is not paused. If the list changes while it is read, it is read again, at most two times. Waits
/// for the guest's memory. no_data: the kernel's symbols or types lack something. timed_out: the limit of the
/// calling thread's work is reached.
[[nodiscard]] Result<std::string> module_list(const RunningKernel& kernel);

} // namespace vmemfs
