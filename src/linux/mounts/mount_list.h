// SPDX-License-Identifier: MIT
// The mounts of a guest, as /proc/1/mountinfo has them.
#pragma once

#include "core/error.h"
#include "linux/running_kernel.h"

#include <string>

namespace vmemfs {

/// A header line and a line for each mount of the mount namespace of process 1, with tabs between the
/// columns: id, id of the mount that it is in, device (major:minor), root within the filesystem, mount point,
/// type, source, options. Rows and order are those of /proc/1/mountinfo: paths are those that process 1 sees,
/// and mounts that are not below its root are left out. "-": there is none; "?": it cannot be read, or only
/// the filesystem's own code knows it. Bytes that are not printable ASCII are shown as \xNN. Options are
/// those that the kernel has as flags of the mount and of the filesystem, in the form of /proc/1/mounts. The
/// last line begins with "# complete: " or "# incomplete: ".
///
/// The guest is not paused. A row is shown only if it was the same twice, and the list is complete only if
/// all of it was; it is read three times at most. Waits for the guest's memory. no_data: the kernel's symbols
/// or types lack something. timed_out: the limit of the calling thread's work is reached.
[[nodiscard]] Result<std::string> mount_list(const RunningKernel& kernel);

} // namespace vmemfs
