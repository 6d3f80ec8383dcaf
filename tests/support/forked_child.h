// SPDX-License-Identifier: MIT
// A forked child that prepares memory, tells where it is, and then waits for commands.
#pragma once

#include "host/process_space.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {

/// Values that the child hands to the test: addresses, file descriptor numbers.
using ChildValues = std::array<std::uint64_t, 4>;

class ForkedChild {
public:
  /// `setup` runs in the child; `later`, if given, when the test calls proceed(). Neither may throw.
  explicit ForkedChild(const std::function<ChildValues()>& setup, const std::function<void()>& later = {}) {
    std::array<int, 2> to_child{};
    std::array<int, 2> to_test{};
    if (::pipe(to_child.data()) != 0 || ::pipe(to_test.data()) != 0) {
      std::abort();
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const ChildValues values = setup();
      char go = 0;
      exchange(to_test[1], values, to_child[0], go);
      if (later) {
        later();
      }
      exchange(to_test[1], values, to_child[0], go);
      ::_exit(0);
    }
    ::close(to_child[0]);
    ::close(to_test[1]);
    write_ = UniqueFd{to_child[1]};
    read_ = UniqueFd{to_test[0]};
    receive();
  }
  ForkedChild(const ForkedChild&) = delete;
  ForkedChild& operator=(const ForkedChild&) = delete;
  ~ForkedChild() { kill(); }

  /// Returns when `later` has run.
  void proceed() {
    const char go = 1;
    if (::write(write_.get(), &go, 1) != 1) {
      std::abort();
    }
    receive();
  }

  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = 0;
    }
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t value(std::size_t index) const { return values_.at(index); }
  [[nodiscard]] std::shared_ptr<const Process> process() const {
    return std::make_shared<const Process>(Process::open(pid_).value());
  }

  [[nodiscard]] std::shared_ptr<const ProcessSpace> space() const {
    return ProcessSpace::open(process()).value();
  }

  /// A line of /proc/PID/status in KiB.
  [[nodiscard]] std::uint64_t status_kib(const std::string& key) const {
    const std::string text = read_proc_file("/proc/" + std::to_string(pid_) + "/status").value();
    const std::size_t at = text.find("\n" + key + ":");
    return std::strtoull(text.c_str() + at + key.size() + 2, nullptr, 10);
  }

private:
  static void exchange(int out, const ChildValues& values, int in, char& go) {
    if (::write(out, values.data(), sizeof values) != sizeof values || ::read(in, &go, 1) != 1) {
      ::_exit(1);
    }
  }

  void receive() {
    if (::read(read_.get(), values_.data(), sizeof values_) != sizeof values_) {
      std::abort();
    }
  }

  pid_t pid_ = 0;
  UniqueFd write_;
  UniqueFd read_;
  ChildValues values_{};
};

/// Runs `check` as a user without any rights; its result. Forks where we are root.
inline bool unprivileged(const std::function<bool()>& check) {
  if (::geteuid() != 0) {
    return check();
  }
  constexpr uid_t kNobody = 65534;
  const pid_t pid = ::fork();
  if (pid == 0) {
    const bool dropped =
        ::setresgid(kNobody, kNobody, kNobody) == 0 && ::setresuid(kNobody, kNobody, kNobody) == 0;
    ::prctl(PR_SET_DUMPABLE, 1); // else our own /proc is closed to us
    ::_exit(dropped && check() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace vmemfs
