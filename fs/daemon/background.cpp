// SPDX-License-Identifier: MIT
#include "fs/daemon/background.h"

#include "util/log.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr int kFailed = 1;

/// Waits until the child is ready or has ended. If it has ended, its exit code is passed on: it has printed
/// the reason.
int wait_for(pid_t child, int from_child) {
  char ready = 0;
  ssize_t count = 0;
  do {
    count = ::read(from_child, &ready, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1) {
    return 0;
  }
  int status = 0;
  if (::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    return WEXITSTATUS(status);
  }
  log::error("the daemon ended before the mount was ready");
  return kFailed;
}

} // namespace

std::optional<int> Background::fork_and_wait() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    log::error("cannot create a pipe: {}", std::generic_category().message(errno));
    return kFailed;
  }
  UniqueFd from_child{ends[0]};
  to_parent_.reset(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    log::error("cannot fork: {}", std::generic_category().message(errno));
    return kFailed;
  }
  if (child > 0) {
    to_parent_.reset();
    return wait_for(child, from_child.get());
  }
  ::setsid();
  return std::nullopt;
}

void Background::ready() {
  if (!to_parent_) {
    return;
  }
  log::to_syslog();
  const UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null.get(), standard);
  }
  const char done = 1;
  static_cast<void>(!::write(to_parent_.get(), &done, 1)); // may fail: the calling process may be gone
  to_parent_.reset();
}

} // namespace vmemfs
