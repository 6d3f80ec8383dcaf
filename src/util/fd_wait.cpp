// SPDX-License-Identifier: MIT
#include "util/fd_wait.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <poll.h>

namespace vmemfs {

Result<bool> wait_for_fd(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  constexpr std::int64_t kMaxPollMs = 1 << 30;
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, kMaxPollMs)));
    if (ready >= 0) {
      return ready > 0;
    }
    if (errno != EINTR) {
      return fail_errno(errno, "fd", "poll failed");
    }
  }
}

} // namespace vmemfs
