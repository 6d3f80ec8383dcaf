// SPDX-License-Identifier: MIT
#include "drivers/xen/state/pause_count.h"

#include <cerrno>
#include <fmt/format.h>

namespace vmemfs::xen {
namespace {

/// A command ends at most this many pauses of others.
constexpr int kMaxPauses = 64;

/// Between the pause and the stop there is a moment in which a vCPU still runs.
bool is_stopped(const DomainInfo& info) { return (info.paused || info.shut_down) && !info.on_cpu; }

tl::unexpected<Error> command_error(int os_errno, std::string_view what) {
  if (os_errno == ESRCH) {
    return fail(ErrorKind::vm_gone, kOrigin, "the domain has ended");
  }
  return fail_errno(os_errno, kOrigin, fmt::format("cannot {} the domain", what));
}

Error gone_error() { return {ErrorKind::vm_gone, std::string{kOrigin}, "the domain has ended"}; }

} // namespace

RunStatus run_status_of(const DomainInfo& info) {
  if (info.shut_down) {
    return {false, std::string{shutdown_name(info.shutdown_reason)}, false};
  }
  return is_stopped(info) ? RunStatus{false, "paused"} : RunStatus{true, "running"};
}

Result<void> PauseCount::add_one() const {
  if (xc_domain_pause(control_, domain_) != 0) {
    return command_error(errno, "pause");
  }
  return {};
}

Result<void> PauseCount::take_one() const {
  if (xc_domain_unpause(control_, domain_) != 0 && errno != EINVAL) { // EINVAL: it is not paused
    return command_error(errno, "unpause");
  }
  return {};
}

/// True if a domain that was known to be paused has run in the meantime.
bool PauseCount::note(const DomainInfo& info) {
  const auto before = paused_cpu_time_;
  paused_cpu_time_ = is_stopped(info) ? info.cpu_time : std::chrono::nanoseconds{-1};
  known_paused_ = paused_cpu_time_.count() >= 0;
  return before.count() >= 0 && before != paused_cpu_time_;
}

PauseCount::Answer PauseCount::ask() {
  const MutexLock lock{mutex_};
  const auto info = domain_info(control_, domain_);
  if (!info || info->dying) {
    const bool has_ended = info || info.error().kind == ErrorKind::not_found;
    return {tl::unexpected{has_ended ? gone_error() : info.error()}, false};
  }
  const bool has_run = note(*info);
  if (!info->paused) {
    held_ = false; // somebody else has released it
  } else if (info->shut_down && held_) {
    // Nobody will resume it, and a domain that only suspended has to continue.
    static_cast<void>(take_one());
    held_ = false;
  }
  return {run_status_of(*info), has_run};
}

Result<RunStatus> PauseCount::pause() {
  const MutexLock lock{mutex_};
  auto info = domain_info(control_, domain_);
  if (info && !info->dying && (!info->paused || info->on_cpu)) {
    if (auto added = add_one(); !added) { // returns when the domain is stopped
      held_ = false;
      return tl::unexpected{std::move(added.error())};
    }
    held_ = true;
    info = domain_info(control_, domain_);
  }
  if (!info || info->dying) {
    return tl::unexpected{gone_error()};
  }
  note(*info);
  return run_status_of(*info);
}

Result<RunStatus> PauseCount::resume() {
  const MutexLock lock{mutex_};
  paused_cpu_time_ = std::chrono::nanoseconds{-1};
  known_paused_ = false;
  const bool given_back = std::exchange(held_, false);
  for (int i = 0; i < kMaxPauses; ++i) {
    const auto info = domain_info(control_, domain_);
    if (!info || info->dying) {
      return tl::unexpected{gone_error()};
    }
    if (!info->paused || (given_back && i == 1)) {
      return run_status_of(*info);
    }
    if (auto taken = take_one(); !taken) {
      held_ = given_back && i == 0;
      return tl::unexpected{std::move(taken.error())};
    }
  }
  return fail(ErrorKind::busy, kOrigin, "cannot resume the domain: something pauses it again each time");
}

bool PauseCount::poll() {
  if (!known_paused_ || !poll_limit_.allows()) {
    return false;
  }
  const MutexLock lock{mutex_};
  const auto info = domain_info(control_, domain_);
  return info && note(*info);
}

PauseCount::TemporaryPause::TemporaryPause(const PauseCount& count)
    : count_{count}, result_{count.add_one()} {}

PauseCount::TemporaryPause::~TemporaryPause() {
  if (result_) {
    static_cast<void>(count_.take_one());
  }
}

} // namespace vmemfs::xen
