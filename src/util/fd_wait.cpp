// SPDX-License-Identifier: MIT
#include "util/fd_wait.h"

#include "util/work_limit.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace vmemfs {

Result<bool> wait_for_fd(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  // Nothing wakes a thread whose work is stopped.
  const std::int64_t max_poll_ms = WorkLimit::in_force() ? 50 : 1 << 30;
  for (;;) {
    if (WorkLimit::over()) {
      return WorkLimit::exceeded("fd");
    }
    const auto now = std::chrono::steady_clock::now();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, max_poll_ms)));
    if (ready > 0 || (ready == 0 && left <= max_poll_ms)) {
      return ready > 0;
    }
    if (ready < 0 && errno != EINTR) {
      return fail_errno(errno, "fd", "poll failed");
    }
  }
}

bool poll_until(std::span<pollfd> entries, std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int count =
        ::poll(entries.data(), entries.size(), static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (count > 0 || (count == 0 && left.count() <= 0)) {
      return count > 0;
    }
    if (count < 0 && errno != EINTR) {
      return false;
    }
  }
}

} // namespace vmemfs
