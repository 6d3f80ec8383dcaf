// SPDX-License-Identifier: MIT
// The threads that take the kernel's requests and have them answered.
//
// One thread at a time, the leader, takes requests. It answers quick ones itself and stays the leader, so
// that one reader is served by one thread, whose caches are warm, and wakes no other one. Before any other
// request it hands the lead on. A quick request that takes long all the same is noticed by a watchdog, which
// then hands the lead on in its place.
//
// Between two requests of a busy reader the leader waits a few microseconds without sleeping: waking it up
// takes longer than that.
#pragma once

#include "util/mutex.h"
#include "util/unique_fd.h"
#include "util/worker.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fuse_lowlevel.h>
#include <span>
#include <stop_token>
#include <sys/types.h>
#include <thread>

namespace vmemfs {

/// Thread-safe, but for run().
class RequestLoop {
public:
  enum class Cost : unsigned char {
    little, ///< answered in microseconds
    copy,   ///< the same, and large: several such requests at once are worth a thread each
    waits,  ///< may wait for anything
  };
  /// What a request that has arrived takes, as a rule.
  using CostOf = Cost (*)(std::span<const std::byte> request);

  /// `session` outlives this object, and reads requests by read_device(). Its device does not block.
  RequestLoop(fuse_session* session, unsigned max_threads, CostOf cost_of);
  ~RequestLoop() = default;
  RequestLoop(const RequestLoop&) = delete;
  RequestLoop& operator=(const RequestLoop&) = delete;

  /// Serves until the session exits or stop(). Returns when no thread works on a request any more; 0, or a
  /// negative errno. Once.
  int run();
  void stop();

  /// Reads one request, as read(2) of a device that blocks. EINTR: the loop was stopped. Only called on a
  /// thread of the loop, by libfuse.
  static ssize_t read_device(int fd, void* buffer, std::size_t size);

private:
  using Clock = std::chrono::steady_clock;

  void lead();
  [[nodiscard]] bool take_and_answer();
  [[nodiscard]] bool answer_as_leader(fuse_buf& request, Cost cost);
  void hand_on();
  void end(int error);
  [[nodiscard]] ssize_t receive(int fd, void* buffer, std::size_t size);
  [[nodiscard]] ssize_t spin(int fd, void* buffer, std::size_t size);
  [[nodiscard]] bool sleep_until_readable(int fd);
  [[nodiscard]] bool is_more_waiting() const;
  void wake_watchdog() EXCLUDES(watch_mutex_);
  void watch(const std::stop_token& stop) EXCLUDES(watch_mutex_);
  void watch_requests(const std::stop_token& stop);

  fuse_session* const session_;
  const CostOf cost_of_;
  const bool can_spin_;
  const UniqueFd stop_event_;  ///< readable once stopped
  const UniqueFd ended_event_; ///< readable once no thread is to lead any more

  // Of the leader; handed on with the lead.
  unsigned skipped_spins_ = 0;         ///< how many requests are awaited asleep before the next try
  unsigned spins_to_skip_ = 0;         ///< after the next spin in vain
  Clock::time_point parallel_until_{}; ///< until then large requests are handed to a thread each

  /// Odd while the leader answers a request itself. Whoever raises it from such a number has the lead.
  std::atomic<std::uint64_t> turn_{0};
  std::atomic<int> error_{0};
  std::atomic<bool> watching_{false};
  Mutex watch_mutex_; ///< leaf
  StoppableCondition watch_changed_;
  Worker threads_;
  std::jthread watchdog_; ///< ends first
};

} // namespace vmemfs
