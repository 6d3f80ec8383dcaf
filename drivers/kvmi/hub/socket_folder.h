// SPDX-License-Identifier: MIT
// The path of a listening socket that no other user can put another file at.
#pragma once

#include "core/error.h"

#include <string>

namespace vmemfs::kvmi {

/// `path` with its folder's links resolved. permission: another user can change one of the folders, and could
/// so take the place of our socket, to which QEMU then connects.
[[nodiscard]] Result<std::string> safe_socket_path(const std::string& path);

} // namespace vmemfs::kvmi
