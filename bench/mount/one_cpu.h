// SPDX-License-Identifier: MIT
// Reader and servers on one CPU, so that the scheduler has nothing to choose.
#pragma once

#include <sched.h>
#include <sys/types.h>
#include <vector>

namespace vmemfs::bench {

class OneCpu {
public:
  /// Moves this thread, those that it creates, and all threads of `servers` to the first CPU that this thread
  /// may use. Throws std::system_error.
  explicit OneCpu(const std::vector<pid_t>& servers);
  ~OneCpu(); ///< back to the CPUs that this thread had; the servers' threads are others by then
  OneCpu(const OneCpu&) = delete;
  OneCpu& operator=(const OneCpu&) = delete;

private:
  void move_all(const cpu_set_t& cpus) const;

  const std::vector<pid_t> servers_;
  cpu_set_t before_{};
};

} // namespace vmemfs::bench
