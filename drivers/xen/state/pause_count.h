// SPDX-License-Identifier: MIT
// Pause and resume of a domain, with the hypervisor's count of pauses.
#pragma once

#include "driver/driver.h"
#include "drivers/xen/state/domain_info.h"
#include "util/mutex.h"
#include "util/rate_limit.h"

#include <atomic>
#include <chrono>
#include <cstdint>

namespace vmemfs::xen {

/// Thread-safe. Holds one of the domain's pauses or none, never two. Pauses of others are left alone, unless
/// resume() is called while this object holds none.
class PauseCount {
public:
  /// The longest time until poll() reports a run, if it is called all the time.
  static constexpr std::chrono::milliseconds kDelay{10};

  PauseCount(xc_interface* control, std::uint32_t domain) : control_{control}, domain_{domain} {}

  struct Answer {
    Result<RunStatus> status;
    bool has_run; ///< since it was last known to be paused
  };
  [[nodiscard]] Answer ask();

  /// Does nothing if the domain is paused already. Returns the state then, as ask() does.
  [[nodiscard]] Result<RunStatus> pause();

  /// Releases our pause; without one, ends those of others. Returns the state then: not running if somebody
  /// else's pause, besides ours, still holds the domain.
  [[nodiscard]] Result<RunStatus> resume();

  /// True, once, if a domain that was known to be paused may have run since. At most one hypercall each 10
  /// ms.
  [[nodiscard]] bool poll();

  /// Pauses the domain for a short time, independently of other pauses.
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
  bool note(const DomainInfo& info) REQUIRES(mutex_);

  xc_interface* const control_;
  const std::uint32_t domain_;
  RateLimit poll_limit_{kDelay};
  std::atomic<bool> known_paused_{false}; ///< that paused_cpu_time_ is set
  Mutex mutex_;
  bool held_ GUARDED_BY(mutex_) = false;
  /// CPU time of a domain that is known to be paused; negative: not known.
  std::chrono::nanoseconds paused_cpu_time_ GUARDED_BY(mutex_){-1};
};

/// The state of a domain as Xen's tools would name it.
[[nodiscard]] RunStatus run_status_of(const DomainInfo& info);

} // namespace vmemfs::xen
