// SPDX-License-Identifier: MIT
// Least privilege: before the daemon reads a VM, its privileges are reduced to those that reading VMs needs.
#pragma once

#include "driver/needs.h"

#include <string>
#include <vector>

namespace vmemfs {

/// The result, as text for the log.
struct PrivilegeReport {
  std::string summary; ///< one line: privileges kept and given up
  std::vector<std::string>
      problems; ///< privileges that could not be given up, with the reason; not a failure
};

/// Gives up, permanently and for all processes that this one starts from now on: capabilities and dangerous
/// system calls that `needs` does not have, new privileges by executing programs; also core dumps and being
/// traced, because buffers contain guest memory. Raises the limit on open files to its maximum, because each
/// VM needs several.
///
/// Privileges belong to threads: call before any thread is created. Processes that need more privileges must
/// be started before: see Mounter.
[[nodiscard]] PrivilegeReport give_up_privileges(const Needs& needs = {});

} // namespace vmemfs
