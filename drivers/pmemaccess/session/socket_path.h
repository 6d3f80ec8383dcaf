// SPDX-License-Identifier: MIT
// Path of a memory socket that QEMU is asked to make.
#pragma once

#include "core/error.h"

#include <string>

namespace vmemfs::pmemaccess {

/// A new name in `directory` (absolute) that nobody can guess, so that nobody can wait for it there. invalid:
/// with it the path would be longer than what QEMU takes without harm: it copies the path without a check.
[[nodiscard]] Result<std::string> new_socket_path(const std::string& directory);

/// The directory of a monitor's socket, absolute. invalid: the monitor has no path.
[[nodiscard]] Result<std::string> directory_of_monitor(const std::string& address);

} // namespace vmemfs::pmemaccess
