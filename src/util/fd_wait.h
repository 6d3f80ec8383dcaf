// SPDX-License-Identifier: MIT
// Wait for file descriptors with a time limit.
#pragma once

#include "core/error.h"

#include <chrono>
#include <poll.h>
#include <span>

namespace vmemfs {

/// Returns true when `fd` has one of `events` (of poll(2)) or an error, which the next call on it reports;
/// false at the deadline. Signals do not end the wait; the WorkLimit of the thread does (timed_out).
[[nodiscard]] Result<bool> wait_for_fd(int fd, short events, std::chrono::steady_clock::time_point deadline);

/// Polls until one of `entries` is ready (true), the deadline is reached or poll fails (false). Neither
/// signals nor the WorkLimit end the wait: for one that is short, and has to be waited for.
bool poll_until(std::span<pollfd> entries, std::chrono::steady_clock::time_point deadline);

} // namespace vmemfs
