// SPDX-License-Identifier: MIT
// Waiting for a descriptor with a time limit.
#pragma once

#include "core/error.h"

#include <chrono>

namespace vmemfs::qemu {

/// True once `fd` has one of `events` (of poll(2)) or an error, which the next call on it then reports;
/// false at the deadline. Signals don't end the wait.
[[nodiscard]] Result<bool> wait_for_fd(int fd, short events, std::chrono::steady_clock::time_point deadline);

} // namespace vmemfs::qemu
