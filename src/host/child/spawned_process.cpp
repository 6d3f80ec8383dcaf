// SPDX-License-Identifier: MIT
#include "host/child/spawned_process.h"

#include "util/fd_wait.h"

#include <cerrno>
#include <csignal>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmemfs {

Result<std::unique_ptr<SpawnedProcess>> SpawnedProcess::start(const SpawnedProgram& program,
                                                              std::string_view origin) {
  const auto pid = spawn(program, origin);
  if (!pid) {
    return tl::unexpected{pid.error()};
  }
  // By number: the declarations of glibc 2.36 are not usable from C++.
  UniqueFd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0U))};
  if (!pidfd) {
    const int error = errno;
    ::kill(*pid, SIGKILL); // not reaped yet, so the number is its own
    ::waitpid(*pid, nullptr, 0);
    return fail_errno(error, origin, fmt::format("cannot watch a process of {}", program.path));
  }
  return std::make_unique<SpawnedProcess>(*pid, std::move(pidfd));
}

SpawnedProcess::~SpawnedProcess() {
  // One that cannot be killed, as it waits in a driver of the kernel, is left to init.
  static_cast<void>(::waitpid(pid_, nullptr, WNOHANG));
}

bool SpawnedProcess::wait_for_end(std::chrono::milliseconds limit) const {
  pollfd entry{pidfd(), POLLIN, 0};
  return poll_until({&entry, 1}, std::chrono::steady_clock::now() + limit);
}

void SpawnedProcess::kill() const {
  static_cast<void>(::syscall(SYS_pidfd_send_signal, pidfd(), SIGKILL, nullptr, 0U));
  // Its group has its number, which is nobody else's until it is waited for.
  static_cast<void>(::kill(-pid(), SIGKILL));
}

std::optional<std::string> SpawnedProcess::how_it_ended() const {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return std::nullopt;
  }
  return info.si_code == CLD_EXITED ? fmt::format("it ended with exit code {}", info.si_status)
                                    : fmt::format("it was killed by signal {}", info.si_status);
}

} // namespace vmemfs
