// SPDX-License-Identifier: MIT
#include "drivers/leechcore/client/worker_process.h"

#include "drivers/leechcore/wire/worker_fds.h"
#include "util/fd_wait.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <string_view>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";
constexpr std::chrono::seconds kClosing{1};

/// Above all numbers that the worker gets, so that none is overwritten before it is duplicated.
UniqueFd out_of_the_way(int fd) { return UniqueFd{::fcntl(fd, F_DUPFD_CLOEXEC, kWorkerMemory + 1)}; }

class SpawnSetup {
public:
  SpawnSetup(int socket, int memory, int output) {
    ::posix_spawn_file_actions_init(&files_);
    ::posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files_, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files_, output, STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&files_, socket, kWorkerSocket);
    ::posix_spawn_file_actions_adddup2(&files_, memory, kWorkerMemory);
    ::posix_spawn_file_actions_addclosefrom_np(&files_, kWorkerMemory + 1);
    ::posix_spawnattr_init(&attributes_);
    sigset_t set;
    sigemptyset(&set);
    ::posix_spawnattr_setsigmask(&attributes_, &set);
    sigfillset(&set);
    ::posix_spawnattr_setsigdefault(&attributes_, &set);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&files_);
  }

  Result<pid_t> spawn(const std::string& program) {
    std::string name{"vmemfs-leechcore"};
    std::array<char*, 2> arguments{name.data(), nullptr};
    pid_t pid = 0;
    if (const int error =
            ::posix_spawn(&pid, program.c_str(), &files_, &attributes_, arguments.data(), environ);
        error != 0) {
      return fail_errno(
          error, kOrigin,
          fmt::format("cannot run {}, which is installed with vmemfs and loads LeechCore", program));
    }
    return pid;
  }

private:
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t attributes_{};
};

} // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(const std::string& program, const Ends& ends) {
  const UniqueFd socket = out_of_the_way(ends.socket);
  const UniqueFd memory = out_of_the_way(ends.memory);
  const UniqueFd output = out_of_the_way(ends.output);
  if (!socket || !memory || !output) {
    return fail_errno(errno, kOrigin, "cannot pass descriptors to the worker process");
  }
  const auto pid = SpawnSetup{socket.get(), memory.get(), output.get()}.spawn(program);
  if (!pid) {
    return tl::unexpected{pid.error()};
  }
  UniqueFd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0U))};
  if (!pidfd) {
    const int error = errno;
    ::kill(*pid, SIGKILL); // not reaped yet, so the number is its own
    ::waitpid(*pid, nullptr, 0);
    return fail_errno(error, kOrigin, "cannot watch the worker process");
  }
  return std::make_unique<WorkerProcess>(*pid, std::move(pidfd));
}

WorkerProcess::~WorkerProcess() {
  const auto wait = [this] {
    const auto ended = wait_for_fd(pidfd(), POLLIN, std::chrono::steady_clock::now() + kClosing);
    return ended && *ended;
  };
  const bool ended = wait();
  kill();
  if (!ended) {
    static_cast<void>(wait());
  }
  // One that cannot be killed, as it waits in a driver of the kernel, is left to init.
  static_cast<void>(::waitpid(pid(), nullptr, WNOHANG));
}

void WorkerProcess::kill() const {
  static_cast<void>(::syscall(SYS_pidfd_send_signal, pidfd(), SIGKILL, nullptr, 0U));
  // Its group has its number, which is nobody else's until it is waited for.
  static_cast<void>(::kill(-pid(), SIGKILL));
}

std::string WorkerProcess::how_it_ended() const {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return "it closed its socket";
  }
  return info.si_code == CLD_EXITED ? fmt::format("it ended with exit code {}", info.si_status)
                                    : fmt::format("it was killed by signal {}", info.si_status);
}

} // namespace vmemfs::leechcore
