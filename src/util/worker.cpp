// SPDX-License-Identifier: MIT
#include "util/worker.h"

#include "util/signals.h"

#include <algorithm>
#include <system_error>

namespace vmemfs {

Worker::Worker(unsigned threads, unsigned max_threads) : max_threads_{std::max(threads, max_threads)} {
  const MutexLock lock{mutex_};
  for (unsigned i = 0; i < threads; ++i) {
    start_thread();
  }
}

Worker::~Worker() { stop(); }

void Worker::stop() {
  std::map<Due, std::function<void()>> dropped; // destroyed outside of the lock: captures may post
  std::vector<std::jthread> threads;
  {
    const MutexLock lock{mutex_};
    stopped_ = true;
    dropped.swap(jobs_);
    threads.swap(threads_);
  }
  dropped.clear();
  for (std::jthread& thread : threads) {
    thread.request_stop();
  }
  for (std::jthread& thread : threads) {
    if (thread.joinable()) {
      thread.join();
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
  const SignalsBlocked blocked;
  threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
}

/// One thread waits at any time, so that a job that becomes due finds it.
void Worker::grow() {
  if (waiting_ == 0 && !stopped_ && threads_.size() < max_threads_) {
    try {
      start_thread();
    } catch (const std::system_error&) { // those that exist have to do
      return;
    }
  }
}

void Worker::run(const std::stop_token& stop) {
  ReleasableMutexLock lock{mutex_};
  while (!stop.stop_requested()) {
    if (jobs_.empty()) {
      ++waiting_;
      changed_.wait(mutex_, stop, [this]() REQUIRES(mutex_) { return !jobs_.empty(); });
      --waiting_;
      continue;
    }
    const Due first = jobs_.begin()->first;
    if (first.first > Clock::now()) {
      ++waiting_;
      changed_.wait_until(mutex_, stop, first.first,
                          [&]() REQUIRES(mutex_) { return jobs_.empty() || jobs_.begin()->first < first; });
      --waiting_;
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
  }
}

} // namespace vmemfs
