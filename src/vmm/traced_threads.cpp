// SPDX-License-Identifier: MIT
#include "vmm/traced_threads.h"

#include "core/text.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sched.h>
#include <string>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "ptrace";

/// A thread that runs stops within microseconds: so long, others get the CPU in between; then this one
/// sleeps.
constexpr std::chrono::microseconds kYields{300};
constexpr std::chrono::microseconds kBetweenPolls{100};

std::string task_path(const Process& process, pid_t thread) {
  return fmt::format("/proc/{}/task/{}", process.pid(), thread);
}

bool is_thread_of(const Process& process, pid_t thread) {
  return ::access(task_path(process, thread).c_str(), F_OK) == 0 && process.alive();
}

/// A number in a `status` file of /proc; 0 if it cannot be found out.
pid_t status_number(const std::string& path, std::string_view field) {
  const auto status = read_proc_file(path + "/status", 1 << 16);
  const std::size_t at = status ? status->find(field) : std::string::npos;
  if (at == std::string::npos) {
    return 0;
  }
  const std::string_view rest = std::string_view{*status}.substr(at + field.size());
  return static_cast<pid_t>(parse_u64(trim(rest.substr(0, rest.find('\n')))).value_or(0));
}

/// The process that traces it; 0: none, or it cannot be found out. The kernel gives the thread that does.
pid_t tracer_of(const Process& process, pid_t thread) {
  const pid_t tracer = status_number(task_path(process, thread), "\nTracerPid:");
  return tracer != 0 ? status_number(fmt::format("/proc/{}", tracer), "\nTgid:") : 0;
}

tl::unexpected<Error> ended(const Process& process, pid_t thread) {
  return fail(process.alive() ? ErrorKind::busy : ErrorKind::vm_gone, kOrigin,
              fmt::format("thread {} of process {} has ended", thread, process.pid()));
}

tl::unexpected<Error> not_traced(int error, const Process& process, pid_t thread) {
  if (error == ESRCH) {
    return ended(process, thread);
  }
  if (const pid_t tracer = tracer_of(process, thread); tracer != 0) {
    return fail(
        ErrorKind::busy, kOrigin,
        fmt::format("process {} traces thread {} of process {}: a thread has one tracer at a time; end "
                    "that debugger",
                    tracer, thread, process.pid()));
  }
  std::string what = fmt::format("cannot stop thread {} of process {}", thread, process.pid());
  if (error == EPERM) {
    what += fmt::format(" ({})", access_remedy(process.pid()));
  }
  return fail_errno(error, kOrigin, std::move(what));
}

tl::unexpected<Error> does_not_stop(const Process& process, pid_t thread) {
  const auto stat = read_proc_file(task_path(process, thread) + "/stat", 4096);
  const std::size_t name_end = stat ? stat->rfind(") ") : std::string::npos;
  const char state =
      name_end != std::string::npos && name_end + 2 < stat->size() ? (*stat)[name_end + 2] : '?';
  return fail(ErrorKind::timed_out, kOrigin,
              fmt::format("thread {} of process {} does not stop: it {} (state {})", thread, process.pid(),
                          state == 'R' ? "gets no CPU, as this host is busy"
                                       : "waits in the kernel, as for a page or a disk",
                          state));
}

} // namespace

Result<TracedThreads> TracedThreads::trace(const Process& process, std::span<const pid_t> threads) {
  TracedThreads traced{process};
  traced.threads_.reserve(threads.size());
  for (const pid_t thread : threads) {
    if (auto added = traced.add(thread); !added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  return traced;
}

/// The number is checked again once it is traced: it cannot be another thread's from then on.
Result<void> TracedThreads::add(pid_t thread) {
  if (!is_thread_of(*process_, thread)) {
    return ended(*process_, thread);
  }
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
    return not_traced(errno, *process_, thread);
  }
  threads_.push_back({thread});
  return is_thread_of(*process_, thread) ? Result<void>{} : ended(*process_, thread);
}

void TracedThreads::poll(Thread& thread) {
  int status = 0;
  const pid_t got = ::waitpid(thread.id, &status, WNOHANG | __WALL | __WNOTHREAD);
  if (got == 0 || (got < 0 && errno == EINTR)) {
    return;
  }
  if (got != thread.id || !WIFSTOPPED(status)) {
    thread.ended = true;
    thread.stopped = false;
    return;
  }
  thread.stopped = true;
  // A stop by PTRACE_INTERRUPT, or of the whole process, is an event; one before a signal is not.
  thread.signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
}

Result<void> TracedThreads::interrupt(const Thread& thread) const {
  if (::ptrace(PTRACE_INTERRUPT, thread.id, nullptr, nullptr) != 0) {
    return not_traced(errno, *process_, thread.id);
  }
  return {};
}

Result<void> TracedThreads::wait_until_stopped(Thread& thread, Clock::time_point until) const {
  const auto begin = Clock::now();
  for (poll(thread); !thread.stopped; poll(thread)) {
    const auto now = Clock::now();
    if (thread.ended) {
      return ended(*process_, thread.id);
    }
    if (now > until) {
      return does_not_stop(*process_, thread.id);
    }
    if (now - begin < kYields) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(kBetweenPolls);
    }
  }
  return {};
}

Result<void> TracedThreads::stop(Clock::time_point until) {
  for (const Thread& thread : threads_) {
    if (auto interrupted = interrupt(thread); !interrupted) {
      return interrupted;
    }
  }
  for (Thread& thread : threads_) {
    if (auto stopped = wait_until_stopped(thread, until); !stopped) {
      return stopped;
    }
  }
  return {};
}

Result<void> TracedThreads::run_shortly(std::size_t index, std::chrono::microseconds time,
                                        Clock::time_point until) {
  Thread& thread = threads_[index];
  if (::ptrace(PTRACE_CONT, thread.id, nullptr, thread.signal) != 0) {
    return not_traced(errno, *process_, thread.id);
  }
  thread.stopped = false;
  thread.signal = 0;
  std::this_thread::sleep_for(time);
  return interrupt(thread).and_then([&] { return wait_until_stopped(thread, until); });
}

std::optional<LeftCall> TracedThreads::left_call(std::size_t index) const {
  user_regs_struct registers{};
  if (!threads_[index].stopped || ::ptrace(PTRACE_GETREGS, threads_[index].id, nullptr, &registers) != 0 ||
      static_cast<std::int64_t>(registers.orig_rax) < 0) {
    return std::nullopt;
  }
  return LeftCall{registers.orig_rax, registers.rsi, static_cast<std::int64_t>(registers.rax)};
}

bool TracedThreads::any_ended() {
  std::ranges::for_each(threads_, poll);
  return std::ranges::any_of(threads_, &Thread::ended);
}

void TracedThreads::resume() {
  for (Thread& thread : threads_) {
    if (thread.stopped) {
      ::ptrace(PTRACE_DETACH, thread.id, nullptr, thread.signal); // fails if it was killed, which is its end
    }
  }
  threads_.clear();
}

} // namespace vmemfs
