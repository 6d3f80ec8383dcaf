// SPDX-License-Identifier: MIT
// Threads that run small jobs, immediately or delayed, so that readers need not wait for them.
#pragma once

#include "util/mutex.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <stop_token>
#include <thread>
#include <utility>

namespace vmemfs {

/// Thread-safe. With one thread, jobs that are due run in the order in which they were posted. A job that
/// hangs occupies its thread: jobs that may wait for a VM are posted on a Lane of that VM, to a worker that
/// grows.
class Worker {
public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kMaxIdle{1};

  /// Starts `threads` of them, and one more whenever all have a job, up to `max_threads` in all; those end
  /// again when they have had no job for kMaxIdle. Throws std::system_error if none of the first can be
  /// started.
  explicit Worker(unsigned threads = 1, unsigned max_threads = 0);
  ~Worker(); ///< as stop()
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Finishes the running jobs and drops queued and later ones. Must not be called by a job.
  void stop();

  /// `job` must not throw, and must keep alive what it refers to (capture a weak_ptr).
  void post(std::function<void()> job) { post_at(Clock::time_point::min(), std::move(job)); }
  void post_after(Clock::duration delay, std::function<void()> job) {
    post_at(Clock::now() + delay, std::move(job));
  }

private:
  using Due = std::pair<Clock::time_point, std::uint64_t>; ///< due time, and order of posting

  void post_at(Clock::time_point due, std::function<void()> job) EXCLUDES(mutex_);
  struct Thread {
    bool ended = false; ///< it only returns any more
    std::jthread thread{};
  };

  void run(const std::stop_token& stop, Thread& self) EXCLUDES(mutex_);
  void wait_for_job(const std::stop_token& stop, Clock::time_point until) REQUIRES(mutex_);
  [[nodiscard]] bool may_end() const REQUIRES(mutex_);
  void start_thread() REQUIRES(mutex_);
  void grow() REQUIRES(mutex_);

  const std::size_t min_threads_;
  const std::size_t max_threads_;
  Mutex mutex_;
  StoppableCondition changed_;
  std::map<Due, std::function<void()>> jobs_ GUARDED_BY(mutex_);
  std::uint64_t next_order_ GUARDED_BY(mutex_) = 0;
  bool stopped_ GUARDED_BY(mutex_) = false;
  unsigned waiting_ GUARDED_BY(mutex_) = 0;      ///< threads without a job
  std::size_t active_ GUARDED_BY(mutex_) = 0;    ///< threads that have not ended
  std::list<Thread> threads_ GUARDED_BY(mutex_); ///< empty once stopped
};

} // namespace vmemfs
