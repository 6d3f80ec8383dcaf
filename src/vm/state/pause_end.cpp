// SPDX-License-Identifier: MIT
// How pauses end: the part of RunStateTracker that resumes what vmemfs has paused.
#include "util/log.h"
#include "vm/state/run_state_tracker.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {

void RunStateTracker::end_hold(HoldId hold) {
  const MutexLock lock{operation_mutex_};
  {
    const MutexLock ledger{ledger_mutex_};
    ledger_.end_hold(hold);
  }
  settle();
}

/// Resumes the VM if vmemfs stopped it and no pause is left. Retries until it succeeds.
void RunStateTracker::settle() {
  {
    const MutexLock lock{ledger_mutex_};
    ledger_.expire(Clock::now());
    const bool by_us = ledger_.by_us() || in_doubt_;
    if (!by_us || ledger_.any()) {
      return;
    }
  }
  const auto control = require_run_control();
  if (!control) {
    return; // it has ended
  }
  if (const auto done = resume_if_ours(**control); !done) {
    if (std::exchange(settle_error_, done.error().message()) != done.error().message()) {
      log::warning("{}: cannot be resumed, retrying: {}", context_.events.vm(), settle_error_);
    }
    settle_after(kTryAgainAfter);
  } else {
    settle_error_.clear();
  }
}

/// Resumes the VM, unless it is known by now that the pause is not by vmemfs.
Result<void> RunStateTracker::resume_if_ours(RunControl& control) {
  if (const auto status = ask_state(control); !status) {
    return tl::unexpected{status.error()};
  }
  {
    const MutexLock lock{ledger_mutex_};
    if (!ledger_.by_us() && !in_doubt_) {
      return {};
    }
  }
  return resume_vm(control);
}

void RunStateTracker::settle_after(Clock::duration delay) {
  context_.jobs.post_after(delay, [this] { lock_and_settle(); });
}

void RunStateTracker::lock_and_settle() {
  const MutexLock lock{operation_mutex_};
  settle();
}

Result<void> RunStateTracker::release() {
  auto released = let_go();
  return released.resumed ? std::move(released.detached) : std::move(released.resumed);
}

Result<void> RunStateTracker::release_at_end() { return let_go().detached; }

RunStateTracker::Released RunStateTracker::let_go() {
  const MutexLock lock{operation_mutex_};
  Released released{end_pause(), context_.driver.detach()};
  const bool by_driver = [&] {
    const MutexLock ledger{ledger_mutex_};
    return ledger_.by_driver();
  }();
  if (by_driver && released.detached) {
    clear_ledger();
    guard_.end();
  }
  released.resumed = context_.events.noted(std::move(released.resumed));
  if (released.resumed) { // one report of one VM
    released.detached = context_.events.noted(std::move(released.detached));
  }
  return released;
}

/// Ends a pause by vmemfs that is not to be kept.
Result<void> RunStateTracker::end_pause() {
  {
    const MutexLock ledger{ledger_mutex_};
    if (!(ledger_.by_us() || in_doubt_) || ledger_.keep() || ledger_.by_driver()) {
      return {};
    }
  }
  const auto control = require_run_control();
  if (!control) {
    return {};
  }
  log::info("{}: was paused by us, so it is resumed", context_.events.vm());
  auto resumed = resume_if_ours(**control);
  if (!resumed) { // then the guard keeps trying
    resumed.error().text = fmt::format("cannot be resumed: {}", resumed.error().text);
  }
  return resumed;
}

} // namespace vmemfs
