// SPDX-License-Identifier: MIT
#include "vmm/vcpu_idle_monitor.h"

#include <thread>
#include <utility>

namespace vmemfs {

bool VcpuIdleMonitor::watch(VcpuActivity activity) {
  const MutexLock lock{mutex_};
  if (watching_ && activity_->threads() == activity.threads()) {
    return false;
  }
  activity_ = std::move(activity);
  watching_ = true;
  last_sample_.reset();
  return std::exchange(idle_sample_, std::nullopt).has_value();
}

bool VcpuIdleMonitor::threads_exist() {
  const MutexLock lock{mutex_};
  return sample().has_value();
}

Result<RunStatus> VcpuIdleMonitor::ask(const std::function<Result<RunStatus>()>& query,
                                       const std::function<void()>& has_run) {
  // QEMU, for one, reports the VM as paused shortly before its last thread has gone to sleep.
  constexpr int kTries = 3;
  for (int i = 1;; ++i) {
    std::optional<std::uint64_t> before;
    bool ran = false;
    {
      const MutexLock lock{mutex_};
      before = sample();
      ran = changed(before);
    }
    if (ran) {
      has_run();
    }
    auto status = query();
    if (!status) { // the earlier knowledge stays valid
      return status;
    }
    if (status->running) {
      {
        const MutexLock lock{mutex_};
        ran = std::exchange(idle_sample_, std::nullopt).has_value();
      }
      if (ran) {
        has_run();
      }
      return status;
    }
    const bool slept = i < kTries && wait_until_asleep();
    const MutexLock lock{mutex_};
    if (i == kTries || (slept && sample() == before)) {
      idle_sample_ = before;
      return status;
    }
  }
}

/// The threads go to sleep shortly after the VMM reports the VM as stopped. If they do not within the wait,
/// somebody resumed the VM at once, and the next poll() finds that they have run.
void VcpuIdleMonitor::note_paused() {
  static_cast<void>(wait_until_asleep());
  const MutexLock lock{mutex_};
  idle_sample_ = sample();
}

void VcpuIdleMonitor::forget() {
  const MutexLock lock{mutex_};
  idle_sample_.reset();
}

bool VcpuIdleMonitor::poll() {
  if (!watching_ || !poll_limit_.allows()) {
    return false;
  }
  if (!mutex_.try_lock()) { // the holder takes a sample as well
    return false;
  }
  const MutexLock lock{mutex_, std::adopt_lock};
  if (idle_sample_) {
    return changed(sample());
  }
  return guess_limit_.allows() && seems_idle(sample());
}

/// Waits a short time for the threads to sleep; true if all were asleep at the first check. Holds the lock
/// only for single checks: on a busy machine the wait takes long, and poll() must work meanwhile.
bool VcpuIdleMonitor::wait_until_asleep() {
  constexpr int kPolls = 25;
  constexpr std::chrono::microseconds kBetweenPolls{200};
  for (int i = 0; i < kPolls; ++i) {
    {
      const MutexLock lock{mutex_};
      if (!watching_ || activity_->all_asleep()) {
        return i == 0;
      }
    }
    std::this_thread::sleep_for(kBetweenPolls);
  }
  return false;
}

std::optional<std::uint64_t> VcpuIdleMonitor::sample() {
  if (!watching_) {
    return std::nullopt;
  }
  const auto now = activity_->sample();
  watching_ = now.has_value();
  return now;
}

bool VcpuIdleMonitor::changed(const std::optional<std::uint64_t>& now) {
  if (!idle_sample_ || now == idle_sample_) {
    return false;
  }
  idle_sample_.reset();
  guessed_ = false;
  last_sample_.reset();
  return true;
}

bool VcpuIdleMonitor::seems_idle(const std::optional<std::uint64_t>& now) {
  const bool idle = now && now == last_sample_;
  last_sample_ = now;
  return idle ? !std::exchange(guessed_, true) : (guessed_ = false);
}

} // namespace vmemfs
