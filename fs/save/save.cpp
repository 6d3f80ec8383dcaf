// SPDX-License-Identifier: MIT
#include "fs/save/save.h"

#include "core/text.h"
#include "fs/save/progress.h"
#include "fs/save/save_job.h"
#include "fs/save/size_text.h"
#include "util/unique_fd.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <stop_token>
#include <string>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kMaxStop{2}; ///< for a job that hangs in a read
constexpr int kSignalBase = 128;

void say(const std::string& text) {
  std::fputs(fmt::format("vmemfs: {}\n", text).c_str(), stderr);
  std::fflush(stderr);
}

/// The signals that end a save, taken from a descriptor by the main thread; all others inherit that they are
/// blocked. Signals that the caller ignores (nohup) stay ignored. One that would stop the process is put off,
/// because a guest may be paused; so is the one for a background process that writes to its terminal.
class EndSignals {
public:
  EndSignals() {
    sigemptyset(&ends_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU}) {
      struct sigaction action {};
      if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
        sigaddset(&ends_, number);
      }
    }
    sigset_t blocked = ends_;
    sigaddset(&blocked, SIGTSTP);
    sigaddset(&blocked, SIGTTOU);
    ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    for (const int number : {SIGPIPE, SIGXFSZ}) { // a write fails instead
      std::signal(number, SIG_IGN);
    }
    fd_.reset(::signalfd(-1, &ends_, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  [[nodiscard]] int fd() const { return fd_.get(); }

  /// The signal that came; 0: none.
  [[nodiscard]] int take() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

private:
  sigset_t ends_{};
  UniqueFd fd_;
};

/// Guest memory lies in the buffers: no core dump of them, and no tracer but root.
void keep_memory_to_ourselves() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none); // neither can fail
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/// A file that is opened while a standard descriptor is closed would get its number, and messages or an image
/// would be written to it.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) {
      static_cast<void>(::open("/dev/null", O_RDONLY)); // the lowest free number
    }
  }
}

/// Runs the job on a thread of its own.
class RunningJob {
public:
  explicit RunningJob(SaveJob& job)
      : done_{::eventfd(0, EFD_CLOEXEC)},
        thread_{[this, &job](const std::stop_token& stop) { run(job, stop); }} {}

  [[nodiscard]] int fd() const { return done_.get(); } ///< readable when it has ended
  void request_stop() { thread_.request_stop(); }
  /// Waits for its end.
  [[nodiscard]] Result<SaveReport> result() {
    thread_.join();
    return std::move(*result_);
  }

private:
  void run(SaveJob& job, const std::stop_token& stop) {
    try {
      result_.emplace(job.run(stop));
    } catch (const std::exception& exception) { // no memory, no thread
      result_.emplace(fail(ErrorKind::no_memory, "save", exception.what()));
    }
    const std::uint64_t one = 1;
    static_cast<void>(::write(done_.get(), &one, sizeof one) == sizeof one);
  }

  std::optional<Result<SaveReport>> result_; ///< set before the descriptor says so
  UniqueFd done_;
  std::jthread thread_;
};

/// Why the job was stopped.
struct Stop {
  int exit_code;
  std::string reason;
  Clock::time_point at;
};

/// A job that does not end by itself hangs in the mount, and only the end of the process ends that.
[[noreturn]] void abandon(SaveJob& job, const Stop& stop) {
  for (const std::string& path : job.partial_paths()) {
    ::unlink(path.c_str());
  }
  write_unless_it_waits(STDERR_FILENO, fmt::format("vmemfs: {}\n", stop.reason));
  ::_exit(stop.exit_code);
}

std::optional<Stop> reason_to_stop(const SaveOptions& options, SaveJob& job, int signal) {
  if (signal != 0) {
    return Stop{kSignalBase + signal, "stopped by a signal; nothing was saved", Clock::now()};
  }
  const auto since = job.paused_since();
  if (since && Clock::now() - *since > options.max_pause) {
    return Stop{
        kSaveFailed,
        fmt::format("the guest was paused for {} and its memory is not read yet, so it was resumed and "
                    "nothing was saved; save it with --live, or with a longer --max-pause",
                    time_text(options.max_pause)),
        Clock::now()};
  }
  return std::nullopt;
}

/// Returns when the job has ended; the reason if it was stopped.
std::optional<Stop> watch(const SaveOptions& options, SaveJob& job, RunningJob& running,
                          const EndSignals& signals) {
  Progress progress{STDERR_FILENO, options.quiet};
  std::optional<Stop> stop;
  const auto begin = Clock::now();
  for (;;) {
    std::array<pollfd, 2> fds{{{running.fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), static_cast<int>(kTick.count()));
    const int signal = signals.take();
    if ((fds[0].revents & POLLIN) != 0) {
      progress.clear();
      return stop;
    }
    if (stop && (signal != 0 || Clock::now() - stop->at > kMaxStop)) {
      progress.clear();
      abandon(job, *stop);
    }
    if (!stop) {
      stop = reason_to_stop(options, job, signal);
      if (stop) {
        running.request_stop();
        job.release_guest();
      }
    }
    const CopyProgress& now = job.progress();
    progress.show({now.size, now.done, now.data,
                   std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin)});
  }
}

std::string summary_of(const SaveReport& report) {
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(report.ended - report.started);
  // By its directory: the hypervisor may have no name for it.
  std::string text =
      fmt::format("saved '{}' to '{}': {}, {} {}, in {}", printable(report.directory), printable(report.file),
                  size_text(report.bytes), size_text(report.data_bytes),
                  report.packed ? "of memory read" : "of it read", time_text(duration));
  if (report.pause) {
    text += fmt::format("; the guest was paused for {} ms", report.pause->count());
  }
  return text + fmt::format("; sha256 {}", report.sha256);
}

void warn_about(const SaveReport& report) {
  if (report.unreadable_bytes > 0) {
    say(fmt::format("{} ({} bytes) in {} ranges could not be read and are zeros in the image",
                    size_text(report.unreadable_bytes), report.unreadable_bytes,
                    report.unreadable.size() + report.unreadable_not_listed));
  }
  if (report.refused_reads() > 0) {
    say(fmt::format("the source refused {} reads of pages, which are zeros in the image",
                    report.refused_reads()));
  }
  if (!report.at_end) {
    say("the VM has ended, or could not be asked, at the end of the save; all of it was read");
  } else if (report.guest_changed()) {
    say(report.mode == SaveMode::paused
            ? "somebody else resumed or reset the guest, or its memory map changed, while it was read: the "
              "image is not of one moment"
            : "the guest was paused, resumed or reset, or its memory map changed, while it was read");
  }
  if (report.pause && report.before.is_running() && report.state_after != "running") {
    say(fmt::format("the guest was running before, and is '{}' now; see the VM's control file",
                    printable(report.state_after)));
  }
  if (!report.detach_failure.empty()) {
    say(report.detach_failure);
  }
}

} // namespace

int save(const SaveOptions& options) {
  occupy_standard_descriptors();
  keep_memory_to_ourselves();
  const EndSignals signals;
  SaveJob job{options};
  RunningJob running{job};
  const auto stop = watch(options, job, running, signals);
  const auto report = running.result();
  if (!report) {
    say(stop ? stop->reason : report.error().text);
    return stop ? stop->exit_code : kSaveFailed;
  }
  if (!options.quiet) {
    say(summary_of(*report));
  }
  warn_about(*report);
  return report->is_whole() && report->detach_failure.empty() ? kSaveComplete : kSaveNotWhole;
}

} // namespace vmemfs
