// SPDX-License-Identifier: MIT
// Polling of a paused VM's run state: mapped pages must be dropped if somebody else resumes it, even if
// nobody reads.
#pragma once

#include "driver/driver.h"
#include "vm/vm_jobs.h"

#include <atomic>
#include <chrono>
#include <cstdint>

namespace vmemfs {

/// Thread-safe. Polls often while a view exists, because a client may map its pages, and rarely else.
class StateWatch {
public:
  /// `paused_since_ns` is not 0 while the VM is paused. All arguments outlive this object.
  StateWatch(Driver& driver, const VmJobs& jobs, const std::atomic<std::int64_t>& paused_since_ns)
      : driver_{driver}, jobs_{jobs}, paused_since_ns_{paused_since_ns} {}

  /// Polls for as long as the VM is paused.
  void start();

  /// Views are counted.
  void begin_view();
  void end_view() { --viewers_; }
  [[nodiscard]] bool has_viewers() const { return viewers_ > 0; }

private:
  using Clock = std::chrono::steady_clock;

  void poll();

  Driver& driver_;
  const VmJobs& jobs_;
  const std::atomic<std::int64_t>& paused_since_ns_;
  std::atomic<int> viewers_{0};
  std::atomic<std::int64_t> next_poll_{0}; ///< time of the next poll(), on Clock; 0: none
};

} // namespace vmemfs
