// SPDX-License-Identifier: MIT
// Notices that a VM which stood has run since, without asking QEMU.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "drivers/qemu/vcpu_activity.h"
#include "util/rate_limit.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

namespace vmemfs::qemu {

/// Thread-safe. What it tells errs to one side only: the guest may have stood all the time, but a guest
/// that has run is told.
class VcpuIdleMonitor {
public:
  /// How long it takes at most until poll() has told, if it is called all the time.
  static constexpr std::chrono::milliseconds kDelay{50};

  /// Watches these threads from now on. True if what was known of a standing VM is void by that.
  [[nodiscard]] bool watch(VcpuActivity activity);

  /// False before watch(), and once one of the threads has ended.
  [[nodiscard]] bool watching() const { return watching_; }

  /// Calls `query`, which asks the monitor. If the VM stands, it is known to stand from before that on.
  /// `has_run` is called where it has run since it was last known to stand, and before `query` where that
  /// shows by then: QEMU may take its time to answer, and nobody else is told meanwhile.
  [[nodiscard]] Result<RunStatus> ask(const std::function<Result<RunStatus>()>& query,
                                      const std::function<void()>& has_run);

  /// The VM is about to be let run by us.
  void forget();

  /// True, once, where a VM that was known to stand may have run since; also where one of which nothing
  /// is known looks as if it stood now. Without a lock unless it is time for a look, which is every 20 ms.
  [[nodiscard]] bool poll();

private:
  static constexpr std::chrono::milliseconds kPollInterval{20};
  static constexpr std::chrono::seconds kBetweenGuesses{1};

  std::optional<std::uint64_t> sample();
  [[nodiscard]] bool wait_until_asleep();
  bool changed(const std::optional<std::uint64_t>& now);
  bool seems_idle(const std::optional<std::uint64_t>& now);

  std::atomic<bool> watching_{false};
  RateLimit poll_limit_{kPollInterval};
  RateLimit guess_limit_{kBetweenGuesses};
  std::mutex mutex_; ///< guards what follows; never held while QEMU is asked or waited for
  std::optional<VcpuActivity> activity_;
  std::optional<std::uint64_t> idle_sample_; ///< sample since which the VM is known to stand
  std::optional<std::uint64_t> last_sample_; ///< at the last guess
  bool guessed_ = false;                     ///< that it stands, since it was last seen to run
};

} // namespace vmemfs::qemu
