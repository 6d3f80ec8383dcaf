// SPDX-License-Identifier: MIT
// Users and groups of this host, and whose a process is. Thread-safe.
#pragma once

#include "core/error.h"

#include <optional>
#include <string_view>
#include <sys/types.h>

namespace vmemfs {

/// By number, which need not be in use, or by name. nullopt if there is no such name.
[[nodiscard]] std::optional<uid_t> find_user(std::string_view text);
[[nodiscard]] std::optional<gid_t> find_group(std::string_view text);

/// Whether processes of this user are trusted to use what this process has for itself: those of its own user
/// and of root.
[[nodiscard]] bool is_own_or_root(uid_t user);

/// The user who answers for a process: the real one, or of one that executes a set-uid program the first of
/// the real, effective and saved one that is not root. Not the owner of /proc/PID, which a process can make
/// root's.
[[nodiscard]] Result<uid_t> process_owner(pid_t pid);

/// The same from the text of /proc/PID/status.
[[nodiscard]] Result<uid_t> parse_process_owner(std::string_view status);

} // namespace vmemfs
