// One thread that runs small jobs in turn: for work that a reader must not wait for.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace vmemfs {

class Worker {
public:
  /// Throws std::system_error where no thread can be started.
  Worker();
  ~Worker(); ///< as stop()
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Finishes the running job and drops the rest; later ones are dropped as well. Not to be run by a job.
  void stop();

  /// `job` must not throw; what it refers to must be kept alive by itself (capture a weak_ptr).
  void post(std::function<void()> job);

private:
  void run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any ready_;
  std::deque<std::function<void()>> jobs_;
  std::jthread thread_;
};

} // namespace vmemfs
