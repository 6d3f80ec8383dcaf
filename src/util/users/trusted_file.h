// SPDX-License-Identifier: MIT
// Files of settings: read whole, never waited for, and only if nobody could have written them but who may.
//
// Functions without state, thread-safe.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <string>

namespace vmemfs {

/// No configuration is larger.
inline constexpr std::size_t kMaxSettingsBytes = std::size_t{1} << 20U;

/// The text of a regular file of at most kMaxSettingsBytes. Opens nothing else: a FIFO could wait, and a
/// device do something. The error's text is a reason and a remedy, for a sentence that names the file.
[[nodiscard]] Result<std::string> read_settings(const std::string& path);

/// The same, but only if none but root and the user of this process could have written the file or put it
/// there: its owner, and that of each directory on the way to it, is one of them, and neither the file nor a
/// directory without the sticky bit is writable by group or others. not_permitted: it is not so.
///
/// For a file that the user has not named. `path` is absolute.
[[nodiscard]] Result<std::string> read_trusted_settings(const std::string& path);

} // namespace vmemfs
