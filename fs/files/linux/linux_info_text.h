// SPDX-License-Identifier: MIT
// The text of `linux/info`: the kernel that runs, how that is known, and what of it is missing.
#pragma once

#include "vm/linux/linux_guest.h"

#include <string>

namespace vmemfs {

/// JSON. Without a kernel it says why. Waits for the guest.
[[nodiscard]] std::string linux_info_text(LinuxGuest& guest);

} // namespace vmemfs
