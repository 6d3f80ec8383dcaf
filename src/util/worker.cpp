// SPDX-License-Identifier: MIT
#include "util/worker.h"

#include "util/signals.h"

#include <algorithm>
#include <exception>
#include <system_error>

namespace vmemfs {
namespace {

/// The end of a wait without an end.
constexpr std::chrono::hours kLongWait{1};

} // namespace

Worker::Worker(unsigned threads, unsigned max_threads)
    : min_threads_{threads}, max_threads_{std::max(threads, max_threads)} {
  const MutexLock lock{mutex_};
  for (unsigned i = 0; i < threads; ++i) {
    start_thread();
  }
}

Worker::~Worker() { stop(); }

void Worker::stop() {
  std::map<Due, std::function<void()>> dropped; // destroyed outside of the lock: captures may post
  std::list<Thread> threads;
  {
    const MutexLock lock{mutex_};
    stopped_ = true;
    dropped.swap(jobs_);
    threads.swap(threads_);
  }
  dropped.clear();
  for (Thread& thread : threads) {
    thread.thread.request_stop();
  }
  for (Thread& thread : threads) {
    if (thread.thread.joinable()) {
      thread.thread.join();
    }
  }
}

void Worker::post_at(Clock::time_point due, std::function<void()> job) {
  {
    const MutexLock lock{mutex_};
    if (stopped_) {
      return;
    }
    jobs_.emplace(Due{due, next_order_++}, std::move(job));
  }
  changed_.notify_one();
}

void Worker::start_thread() {
  std::erase_if(threads_,
                [](const Thread& thread) { return thread.ended; }); // joins those that have just ended
  const SignalsBlocked blocked;
  Thread& added = threads_.emplace_back();
  try {
    added.thread = std::jthread{[this, &added](const std::stop_token& stop) { run(stop, added); }};
  } catch (const std::system_error&) {
    threads_.pop_back();
    throw;
  }
  ++active_;
}

/// One thread waits at any time, so that a job that becomes due finds it.
void Worker::grow() {
  if (waiting_ == 0 && !stopped_ && active_ < max_threads_) {
    try {
      start_thread();
    } catch (const std::exception&) { // no thread or no memory: those that exist have to do
      return;
    }
  }
}

void Worker::wait_for_job(const std::stop_token& stop, Clock::time_point until) {
  const bool any = !jobs_.empty();
  const Due first = any ? jobs_.begin()->first : Due{Clock::time_point::max(), 0};
  until = std::min(until, first.first);
  ++waiting_;
  changed_.wait_until(mutex_, stop, until,
                      [&]() REQUIRES(mutex_) { return jobs_.empty() ? any : jobs_.begin()->first < first; });
  --waiting_;
}

/// Another thread has to wait for the next job.
bool Worker::may_end() const { return !stopped_ && active_ > min_threads_ && waiting_ > 0; }

void Worker::run(const std::stop_token& stop, Thread& self) {
  ReleasableMutexLock lock{mutex_};
  auto last_job = Clock::now();
  while (!stop.stop_requested()) {
    if (jobs_.empty() || jobs_.begin()->first.first > Clock::now()) {
      const bool idle = Clock::now() >= last_job + kMaxIdle;
      if (idle && may_end()) {
        self.ended = true;
        --active_;
        changed_.notify_one(); // that it was notified of, another one must know
        return;
      }
      const bool stays = idle && active_ <= min_threads_;
      wait_for_job(stop, stays ? Clock::now() + kLongWait
                               : std::max(last_job, Clock::now() - kMaxIdle / 2) + kMaxIdle);
      continue;
    }
    auto job = std::move(jobs_.begin()->second);
    jobs_.erase(jobs_.begin());
    if (!jobs_.empty()) { // perhaps no waiting thread waits for the next due time
      changed_.notify_one();
    }
    grow();
    lock.unlock();
    job();
    job = nullptr; // its captures are destroyed outside of the lock
    lock.lock();
    last_job = Clock::now();
  }
}

} // namespace vmemfs
