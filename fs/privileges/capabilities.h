// SPDX-License-Identifier: MIT
// Capabilities of this process (capabilities(7)). Each thread has its own: call before any thread is created.
#pragma once

#include "core/error.h"

#include <span>
#include <string>

namespace vmemfs {

/// True if the calling thread has this capability (CAP_... of <linux/capability.h>) in effect.
[[nodiscard]] bool may(int capability);

/// The name as in capabilities(7), such as CAP_SYS_PTRACE.
[[nodiscard]] std::string capability_name(int capability);

/// Gives up all capabilities except `needed`, permanently and for all processes that this one starts; never
/// gains any. Returns the names of those kept, such as "sys_ptrace, dac_override"; empty if there are none.
///
/// Programs that this process starts have them too: as root within the bounding set, which becomes `needed`;
/// as another user through ambient capabilities. permission: some could not be given up.
[[nodiscard]] Result<std::string> keep_capabilities(std::span<const int> needed);

} // namespace vmemfs
