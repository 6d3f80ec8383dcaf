// SPDX-License-Identifier: MIT
#include "util/lane.h"

#include "util/mutex.h"

#include <deque>
#include <utility>

namespace vmemfs {

/// The jobs that are due.
class Lane::Jobs {
public:
  /// Runs the job, or leaves it to the thread that runs one of this lane.
  void run(std::function<void()> job) EXCLUDES(mutex_) {
    if (!begin(job)) {
      return;
    }
    do {
      job();
      job = nullptr; // its captures are destroyed before the next job
    } while (next(job));
  }

private:
  bool begin(std::function<void()>& job) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    if (busy_) {
      waiting_.push_back(std::move(job));
      return false;
    }
    busy_ = true;
    return true;
  }
  bool next(std::function<void()>& job) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    busy_ = !waiting_.empty();
    if (busy_) {
      job = std::move(waiting_.front());
      waiting_.pop_front();
    }
    return busy_;
  }

  Mutex mutex_; ///< not held while a job runs
  bool busy_ GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> waiting_ GUARDED_BY(mutex_);
};

Lane::Lane(Worker& worker) : worker_{worker}, jobs_{std::make_shared<Jobs>()} {}

void Lane::post_after(Worker::Clock::duration delay, std::function<void()> job) const {
  auto run = [jobs = jobs_, job = std::move(job)]() mutable { jobs->run(std::move(job)); };
  if (delay <= Worker::Clock::duration::zero()) {
    worker_.post(std::move(run));
  } else {
    worker_.post_after(delay, std::move(run));
  }
}

} // namespace vmemfs
