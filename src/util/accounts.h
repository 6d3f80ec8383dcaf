// SPDX-License-Identifier: MIT
// Users and groups of this host. Thread-safe.
#pragma once

#include <optional>
#include <string_view>
#include <sys/types.h>

namespace vmemfs {

/// By number, which need not be in use, or by name. nullopt if there is no such name.
[[nodiscard]] std::optional<uid_t> find_user(std::string_view text);
[[nodiscard]] std::optional<gid_t> find_group(std::string_view text);

} // namespace vmemfs
