// SPDX-License-Identifier: MIT
// Acting as somebody else, for tests that run as root.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::test {

/// The words before a command that run it as this user and the group of the same number, without any rights.
[[nodiscard]] std::vector<std::string> as_user(uid_t user);

/// `first` and then `second`.
[[nodiscard]] std::vector<std::string> joined(std::vector<std::string> first,
                                              const std::vector<std::string>& second);

/// Makes a file or directory this user's, and of the group of the same number. Throws std::system_error.
void give(const std::string& path, uid_t user);

/// Whether mounting is possible for users without rights: makes it so for this process and those it starts,
/// in a mount namespace of its own, where /dev/fuse is root's alone. Throws std::system_error.
void allow_mounts_for_all();

} // namespace vmemfs::test
