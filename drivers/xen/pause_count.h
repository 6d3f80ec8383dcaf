// SPDX-License-Identifier: MIT
// Stopping a domain and letting it run, where the hypervisor counts who wants it stopped.
#pragma once

#include "driver/driver.h"
#include "drivers/xen/domain_info.h"
#include "util/rate_limit.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace vmemfs::xen {

/// Thread-safe. Holds one of the domain's pauses, or none: never two. What somebody else holds is left to
/// them, unless resume() is called where none of ours is held.
class PauseCount {
public:
  /// How long it takes at most until poll() has told, if it is called all the time.
  static constexpr std::chrono::milliseconds kDelay{10};

  PauseCount(xc_interface* control, std::uint32_t domain) : control_{control}, domain_{domain} {}

  struct Answer {
    Result<RunStatus> status;
    bool has_run; ///< since it was last known to stand
  };
  [[nodiscard]] Answer ask();

  /// Nothing is done where it stands already.
  [[nodiscard]] Result<void> pause();

  /// Gives ours back; where none is ours, ends those of others. True: it runs now; false: somebody else's
  /// pause, which was beside ours, holds it still.
  [[nodiscard]] Result<bool> resume();

  /// True, once, where a domain that was known to stand may have run since. At most one hypercall each 10 ms.
  [[nodiscard]] bool poll();

  /// Stops the domain for a short time, whoever else does.
  class TemporaryPause {
  public:
    explicit TemporaryPause(const PauseCount& count);
    ~TemporaryPause();
    TemporaryPause(const TemporaryPause&) = delete;
    TemporaryPause& operator=(const TemporaryPause&) = delete;
    [[nodiscard]] const Result<void>& result() const { return result_; }

  private:
    const PauseCount& count_;
    Result<void> result_;
  };

private:
  [[nodiscard]] Result<void> add_one() const;
  [[nodiscard]] Result<void> take_one() const;
  bool note(const DomainInfo& info);

  xc_interface* const control_;
  const std::uint32_t domain_;
  RateLimit poll_limit_{kDelay};
  std::atomic<bool> known_paused_{false}; ///< that paused_cpu_time_ is set
  std::mutex mutex_;                      ///< guards what follows
  bool held_ = false;
  std::chrono::nanoseconds paused_cpu_time_{
      -1}; ///< CPU time of a domain that is known to stand; negative: not known
};

/// What state a domain is in, as Xen's tools would say.
[[nodiscard]] RunStatus run_status_of(const DomainInfo& info);

} // namespace vmemfs::xen
