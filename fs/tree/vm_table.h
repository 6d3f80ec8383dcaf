// SPDX-License-Identifier: MIT
// The table of a VM's directory: one row per file. A new file of a VM is added here.
#pragma once

#include "fs/tree/vm_node.h"

#include <memory>

namespace vmemfs {

[[nodiscard]] std::shared_ptr<const VmTable> vm_table();

} // namespace vmemfs
