// SPDX-License-Identifier: MIT
// Wait for a file descriptor with a time limit.
#pragma once

#include "core/error.h"

#include <chrono>

namespace vmemfs {

/// Returns true when `fd` has one of `events` (of poll(2)) or an error, which the next call on it reports;
/// false at the deadline. Signals do not end the wait; the WorkLimit of the thread does (timed_out).
[[nodiscard]] Result<bool> wait_for_fd(int fd, short events, std::chrono::steady_clock::time_point deadline);

} // namespace vmemfs
