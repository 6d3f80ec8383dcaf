// SPDX-License-Identifier: MIT
#include "fs/daemon/helper_process.h"

#include "util/unique_fd.h"

#include <csignal>
#include <fcntl.h>
#include <unistd.h>

namespace vmemfs {

void ignore_termination_signals() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM}) {
    ::signal(signal, SIG_IGN);
  }
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void leave_standard_streams() {
  const UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!null || ::dup2(null.get(), standard) < 0) {
      ::close(standard);
    }
  }
}

} // namespace vmemfs
