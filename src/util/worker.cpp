// SPDX-License-Identifier: MIT
#include "util/worker.h"

#include "util/signals.h"

namespace vmemfs {

Worker::Worker(unsigned threads) {
  const SignalsBlocked blocked;
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  }
}

Worker::~Worker() { stop(); }

void Worker::stop() {
  std::map<Due, std::function<void()>> dropped; // destroyed outside of the lock: captures may post
  {
    const MutexLock lock{mutex_};
    stopped_ = true;
    dropped.swap(jobs_);
  }
  dropped.clear();
  for (std::jthread& thread : threads_) {
    thread.request_stop();
  }
  for (std::jthread& thread : threads_) {
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

void Worker::run(const std::stop_token& stop) {
  ReleasableMutexLock lock{mutex_};
  while (!stop.stop_requested()) {
    if (jobs_.empty()) {
      changed_.wait(mutex_, stop, [this]() REQUIRES(mutex_) { return !jobs_.empty(); });
      continue;
    }
    const Due first = jobs_.begin()->first;
    if (first.first > Clock::now()) {
      changed_.wait_until(mutex_, stop, first.first,
                          [&]() REQUIRES(mutex_) { return jobs_.empty() || jobs_.begin()->first < first; });
      continue;
    }
    auto job = std::move(jobs_.begin()->second);
    jobs_.erase(jobs_.begin());
    if (!jobs_.empty()) { // perhaps no waiting thread waits for the next due time
      changed_.notify_one();
    }
    lock.unlock();
    job();
    job = nullptr; // its captures are destroyed outside of the lock
    lock.lock();
  }
}

} // namespace vmemfs
