// SPDX-License-Identifier: MIT
// The capabilities of this process (capabilities(7)). Each thread has its own: to be used before any is made.
#pragma once

#include "core/error.h"

#include <span>
#include <string>

namespace vmemfs {

/// Whether the calling thread has this capability (CAP_... of <linux/capability.h>) in effect.
[[nodiscard]] bool may(int capability);

/// Gives up all but `needed`, for good and for what this process starts; never gains any. The names of what
/// is kept, as "sys_ptrace, dac_override"; empty where nothing is.
///
/// Programs that are started have them too: root's by being root, within the bounding set, which becomes
/// `needed`; another user's by ambient capabilities. permission: some are still there.
[[nodiscard]] Result<std::string> keep_capabilities(std::span<const int> needed);

} // namespace vmemfs
