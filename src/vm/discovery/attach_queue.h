// SPDX-License-Identifier: MIT
// Queue of VMs to attach, with the threads that do it: the VMs of one user cannot take the threads, nor the
// time, of the others.
#pragma once

#include "util/mutex.h"
#include "util/worker.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <sys/types.h>

namespace vmemfs {

/// Thread-safe. An owner is the user whose process a VM is; none: a VM that is no process of this host, or
/// that the user named. Root, the user of this process and "none" are trusted and come first.
class AttachQueue {
public:
  using Clock = std::chrono::steady_clock;
  using Owner = std::optional<uid_t>;
  /// Whether the VM needs no further attempt. Must not throw.
  using Job = std::function<bool()>;

  /// Of kThreads: jobs of one owner, and of all that are not trusted, at the same time.
  static constexpr unsigned kThreads = 4;
  static constexpr unsigned kMaxOfTrusted = 3;
  static constexpr unsigned kMaxOfOther = 2;
  static constexpr unsigned kMaxOfOthers = 3;
  /// Each second of an attempt that failed keeps its owner, if not trusted, from the queue for so many
  /// seconds, as soon as more than `credit` have come together.
  static constexpr int kPrice = 2;
  static constexpr std::chrono::seconds kCredit{10};

  explicit AttachQueue(Clock::duration credit = kCredit) : credit_{credit} {}
  ~AttachQueue(); ///< as stop()
  AttachQueue(const AttachQueue&) = delete;
  AttachQueue& operator=(const AttachQueue&) = delete;

  /// Finishes the running jobs and drops queued and later ones. Must not be called by a job.
  void stop() EXCLUDES(mutex_);

  void post(Owner owner, Job job) EXCLUDES(mutex_);

  /// Starts jobs of owners that have waited long enough: to be called again and again.
  void poll() EXCLUDES(mutex_);

private:
  struct Line {
    bool trusted = false;
    std::deque<Job> jobs{};
    unsigned running = 0;
    std::uint64_t last_start = 0;   ///< a number that grows
    Clock::time_point paid_until{}; ///< when the time of failed attempts is made up for
  };

  [[nodiscard]] bool may_start(const Line& line, Clock::time_point now) const REQUIRES(mutex_);
  void start_jobs() REQUIRES(mutex_);
  void run(Owner owner, const Job& job) EXCLUDES(mutex_);

  const Clock::duration credit_;
  Mutex mutex_; ///< not held while a job runs or is destroyed
  std::map<Owner, Line> lines_ GUARDED_BY(mutex_);
  unsigned running_ GUARDED_BY(mutex_) = 0;
  unsigned others_running_ GUARDED_BY(mutex_) = 0; ///< those of owners that are not trusted
  std::uint64_t next_start_ GUARDED_BY(mutex_) = 1;
  bool stopped_ GUARDED_BY(mutex_) = false;
  Worker worker_{kThreads}; ///< last: its jobs use the rest
};

} // namespace vmemfs
