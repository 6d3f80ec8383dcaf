// SPDX-License-Identifier: MIT
// Threads of another process, stopped for a moment by ptrace(2).
//
// The kernel ties a tracer to a thread: one thread makes, uses and destroys this object. It should exist for
// that alone and end soon afterwards, as only its end frees a thread that could not be stopped in time. If it
// dies with its process, the kernel resumes all that it traced.
#pragma once

#include "core/error.h"
#include "host/process.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <sys/types.h>
#include <vector>

namespace vmemfs {

/// The system call that a stopped thread has just left; x86-64.
struct LeftCall {
  std::uint64_t number;
  std::uint64_t second_argument;
  std::int64_t result;
};

class TracedThreads {
public:
  using Clock = std::chrono::steady_clock;

  /// `threads` are numbered in the pid namespace of this process. They go on running. busy: a debugger traces
  /// one. permission: the text names the remedy. vm_gone: one has ended.
  static Result<TracedThreads> trace(const Process& process, std::span<const pid_t> threads);

  TracedThreads(TracedThreads&&) = default;
  TracedThreads& operator=(TracedThreads&&) = delete;
  TracedThreads(const TracedThreads&) = delete;
  TracedThreads& operator=(const TracedThreads&) = delete;
  ~TracedThreads() { resume(); }

  /// Stops all of them; some 20 us if the host has a CPU for each. timed_out: one does not stop, as while it
  /// waits in the kernel. vm_gone: one has ended.
  [[nodiscard]] Result<void> stop(Clock::time_point until);

  /// Resumes one for so long, and stops it again, as stop() does.
  [[nodiscard]] Result<void> run_shortly(std::size_t index, std::chrono::microseconds time,
                                         Clock::time_point until);

  /// nullopt: it was not in a system call, or is not stopped.
  [[nodiscard]] std::optional<LeftCall> left_call(std::size_t index) const;

  /// True if a stopped thread has ended, by SIGKILL. Has to be called now and then, as the process cannot end
  /// as long as nobody has taken notice of that.
  [[nodiscard]] bool any_ended();

  /// Frees all that are stopped, and delivers what signal they were stopped by.
  void resume();

private:
  struct Thread {
    pid_t id;
    bool stopped = false;
    bool ended = false;
    int signal = 0; ///< to be delivered when it is freed
  };

  explicit TracedThreads(const Process& process) : process_{&process} {}

  Result<void> add(pid_t thread);
  static void poll(Thread& thread);
  Result<void> interrupt(const Thread& thread) const;
  Result<void> wait_until_stopped(Thread& thread, Clock::time_point until) const;

  const Process* process_;
  std::vector<Thread> threads_;
};

} // namespace vmemfs
