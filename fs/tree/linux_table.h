// SPDX-License-Identifier: MIT
// The files of `linux`: what a Linux guest has in its memory about itself.
#pragma once

#include "fs/tree/vm_node.h"

namespace vmemfs {

/// Of each VM that may run Linux: one that has virtual memory. Nothing is searched before one of them is
/// opened, or the directory is listed.
[[nodiscard]] VmTable linux_table();

} // namespace vmemfs
