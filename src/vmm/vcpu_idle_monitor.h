// SPDX-License-Identifier: MIT
// Detector of a paused VM that was resumed, without querying its VMM.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "util/mutex.h"
#include "util/rate_limit.h"
#include "vmm/vcpu_activity.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

namespace vmemfs {

/// Thread-safe. Errors are on one side only: it may report a guest that stayed paused, but never misses one
/// that has run.
class VcpuIdleMonitor {
public:
  /// Maximum time until poll() reports it, if called continuously.
  static constexpr std::chrono::milliseconds kDelay{50};

  /// Watches these threads from now on. True if the VM was known to be paused, which is unknown afterwards.
  [[nodiscard]] bool watch(VcpuActivity activity);

  /// False before watch(), and once one of the threads has ended.
  [[nodiscard]] bool watching() const { return watching_; }

  /// Whether all threads still exist, checked now; false before watch().
  [[nodiscard]] bool threads_exist() EXCLUDES(mutex_);

  /// Calls `query`, which queries the VMM. If the VM is paused, it is known to be paused since before the
  /// call. `has_run` is called if it has run since it was last known to be paused; before `query` if that is
  /// already visible, because the VMM may answer late and no other caller is notified meanwhile.
  [[nodiscard]] Result<RunStatus> ask(const std::function<Result<RunStatus>()>& query,
                                      const std::function<void()>& has_run);

  /// The VMM has just reported that it has stopped the VM on request: from now on it is known to be paused.
  void note_paused();

  /// Called before vmemfs resumes the VM.
  void forget();

  /// True, once, if a VM that was known to be paused may have run since; also if the VM's state is unknown
  /// and it seems to be paused now. Takes no lock unless a sample is due, which is every 20 ms.
  [[nodiscard]] bool poll();

private:
  static constexpr std::chrono::milliseconds kPollInterval{20};
  static constexpr std::chrono::seconds kBetweenGuesses{1};

  [[nodiscard]] bool wait_until_asleep() EXCLUDES(mutex_);
  std::optional<std::uint64_t> sample() REQUIRES(mutex_);
  bool changed(const std::optional<std::uint64_t>& now) REQUIRES(mutex_);
  bool seems_idle(const std::optional<std::uint64_t>& now) REQUIRES(mutex_);

  std::atomic<bool> watching_{false};
  RateLimit poll_limit_{kPollInterval};
  RateLimit guess_limit_{kBetweenGuesses};
  Mutex mutex_; ///< never held while the VMM is queried or waited for
  std::optional<VcpuActivity> activity_ GUARDED_BY(mutex_);
  /// Sample since which the VM is known to be paused.
  std::optional<std::uint64_t> idle_sample_ GUARDED_BY(mutex_);
  std::optional<std::uint64_t> last_sample_ GUARDED_BY(mutex_); ///< at the last guess
  /// Already reported as seemingly paused since it was last seen running.
  bool guessed_ GUARDED_BY(mutex_) = false;
};

} // namespace vmemfs
