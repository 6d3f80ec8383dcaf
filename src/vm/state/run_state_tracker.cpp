// SPDX-License-Identifier: MIT
#include "vm/state/run_state_tracker.h"

#include "core/text.h"
#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

// Causes of a pause or resume, for RunStateTracker::Notify.
constexpr std::string_view kByUs = "by us";
constexpr std::string_view kByOthers = "by somebody else";

std::int64_t wall_ns() {
  return std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

} // namespace

std::string_view to_string(PausedBy who) {
  switch (who) {
  case PausedBy::nobody: return "nobody";
  case PausedBy::us: return "vmemfs";
  case PausedBy::other: return "other";
  }
  return "unknown";
}

RunStateTracker::RunStateTracker(const Context& context)
    : context_{context}, guard_{context.guard, context.vm_id, context.driver}, attached_ns_{wall_ns()},
      watch_{context.driver, context.jobs, paused_since_ns_} {}

RunStateTracker::~RunStateTracker() {
  if (context_.driver.gone() || !(ledger_.by_us() || in_doubt_)) {
    guard_.end();
  }
}

void RunStateTracker::poll_soon() {
  if (!poll_pending_.exchange(true)) {
    context_.jobs.post_after({}, [this] { poll(); });
  }
}

void RunStateTracker::poll() {
  poll_pending_ = false; // later events need another poll
  const MutexLock lock{operation_mutex_};
  const auto control = require_run_control();
  if (!control) {
    return;
  }
  if (const auto status = ask_state(**control); !status) {
    log::debug("{}: cannot query the run state: {}", context_.events.vm(), status.error().message());
  }
}

Result<RunStatus> RunStateTracker::ask_state(RunControl& control) {
  const Epoch::Value before = context_.coherence.epoch().load();
  auto status = control.run_status();
  if (!status) {
    return status;
  }
  found(*status, before);
  return status;
}

/// The VM was found in this state after `before` had been loaded.
void RunStateTracker::found(const RunStatus& status, Epoch::Value before) {
  if (status.running) {
    found_running(before);
    return;
  }
  bool by_us = false;
  bool by_others = false;
  {
    const MutexLock lock{ledger_mutex_};
    by_others = ledger_.by_driver() && !status.by_driver; // they have resumed and paused it
    by_us = (ledger_.by_us() || in_doubt_) && !by_others;
  }
  // It is stopped for a reason of its own: no pause keeps it stopped, and none may resume it.
  if (!status.by_command || by_others) {
    in_doubt_ = false;
    clear_ledger();
    guard_.end();
  } else if (status.by_driver && !by_us) {
    found_by_driver();
    by_us = true;
  }
  found_paused(status, before);
  note_state(KnownState::paused, !status.by_command ? fmt::format("by itself: {}", printable(status.detail))
                                                    : std::string{by_us ? kByUs : kByOthers});
}

/// The driver has stopped it, so that is ended as a pause by vmemfs is.
void RunStateTracker::found_by_driver() {
  {
    const MutexLock lock{ledger_mutex_};
    ledger_.set_by_driver();
  }
  if (const auto guarded = guard_.arm(*context_.driver.run_control()); !guarded) {
    log::warning("{}: was stopped by attaching, and stays so if vmemfs is killed: {}", context_.events.vm(),
                 guarded.error().message());
  }
}

void RunStateTracker::found_running(Epoch::Value before) {
  // The resume event is missing or came too early: QEMU reports a resume just before the vCPUs run.
  if (before.stable || paused_since_ns_ != 0) {
    context_.coherence.drop_all();
  }
  paused_since_ns_ = 0;
  memory_changes_ = false;
  in_doubt_ = false;
  clear_ledger();
  guard_.end();
  note_state(KnownState::running, kByOthers);
}

void RunStateTracker::note_state(KnownState now, std::string_view because_of) {
  const KnownState before = std::exchange(state_, now);
  if (before != KnownState::unknown && before != now) {
    context_.events.report(now == KnownState::running ? EventKind::resumed : EventKind::paused,
                           std::string{because_of});
  }
}

/// The VM was found paused after `before` had been loaded.
void RunStateTracker::found_paused(const RunStatus& status, Epoch::Value before) {
  memory_changes_ = status.memory_changes;
  if (status.memory_changes) {
    if (before.stable) {
      context_.coherence.drop_all();
    }
    paused_since_ns_ = wall_ns();
    watch_.start();
    return;
  }
  const bool is_monitored = context_.driver.state_delay().has_value();
  // If it is polled, memory that was not known to be stable may have changed until now.
  if (paused_since_ns_ == 0 || (is_monitored && !before.stable)) {
    paused_since_ns_ = wall_ns();
  }
  watch_.start();
  // If a resume would not be reported, no page may be kept.
  if (before.stable || !is_monitored) {
    return;
  }
  if (!context_.coherence.try_mark_stable(before)) {
    poll_soon();
  }
}

Result<RunControl*> RunStateTracker::require_run_control() {
  if (context_.driver.gone()) {
    return fail(ErrorKind::vm_gone, "vm", "the VM has ended");
  }
  RunControl* const control = context_.driver.run_control();
  if (control == nullptr) {
    return fail(ErrorKind::unsupported, context_.driver.identity().driver,
                fmt::format("cannot pause or resume this VM: {}", context_.driver.access().run_control));
  }
  return control;
}

std::string RunStateTracker::no_cache_reason() const {
  if (context_.driver.frozen() || (available() && state_delay())) {
    return {};
  }
  const AccessReport access = context_.driver.access();
  if (available()) {
    return access.no_cache;
  }
  constexpr std::string_view kNone = "none: "; // of `info`
  const std::string_view why = access.run_control;
  return fmt::format("the guest cannot be paused: {}", why.substr(why.starts_with(kNone) ? kNone.size() : 0));
}

Result<RunStatus> RunStateTracker::status() {
  if (context_.attachment.gone()) {
    return gone_error();
  }
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operation_mutex_.assert_held(); // by `lock`
  const auto control = require_run_control();
  if (!control) {
    return tl::unexpected{control.error()};
  }
  return ask_state(**control);
}

Result<TimedLock::Owner> RunStateTracker::lock_operations() {
  TimedLock::Owner lock{operation_mutex_, Clock::now() + kMaxOperationWait};
  if (!lock.owns_lock()) {
    return fail(ErrorKind::busy, "vm",
                fmt::format("cannot use this VM: other operations have taken the whole limit of {} s; try "
                            "again when it answers",
                            kMaxOperationWait.count()));
  }
  return lock;
}

/// Detaching may have come between the check of gone() and the pause; then nobody else would end the pause.
template <typename T> Result<T> RunStateTracker::unless_detached(Result<T> paused) {
  if (context_.attachment.gone()) {
    static_cast<void>(release()); // reports a failure itself
    return gone_error();
  }
  return context_.events.noted(std::move(paused));
}

Result<Paused> RunStateTracker::cannot_keep() const {
  return fail(ErrorKind::unsupported, context_.driver.identity().driver,
              "a pause of this VM ends with vmemfs, so it cannot be kept; use pause");
}

Result<Paused> RunStateTracker::pause(PauseKind kind, std::chrono::milliseconds for_how_long) {
  if (context_.attachment.gone()) {
    return gone_error();
  }
  return unless_detached(try_pause(kind, for_how_long));
}

Result<Paused> RunStateTracker::try_pause(PauseKind kind, std::chrono::milliseconds for_how_long) {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operation_mutex_.assert_held(); // by `lock`
  const auto until = Clock::now() + for_how_long;
  auto paused = require_run_control().and_then([&](RunControl* control) REQUIRES(operation_mutex_) {
    if (kind == PauseKind::keep && !control->can_keep()) {
      return cannot_keep();
    }
    return stop(*control, [&](PauseLedger& ledger) {
      if (ledger.by_us()) { // a command ends no pause by others, so it is not entered as one
        ledger.add(kind, until);
      }
    });
  });
  if (paused == Paused::by_us && kind == PauseKind::timed) {
    settle_after(until - Clock::now());
  }
  return paused;
}

Result<HoldId> RunStateTracker::hold() {
  if (context_.attachment.gone()) {
    return gone_error();
  }
  return unless_detached(try_hold());
}

Result<HoldId> RunStateTracker::try_hold() {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operation_mutex_.assert_held(); // by `lock`
  HoldId hold = 0;
  auto paused = require_run_control().and_then([&](RunControl* control) REQUIRES(operation_mutex_) {
    return stop(*control, [&](PauseLedger& ledger) { hold = ledger.add_hold(); });
  });
  return paused.map([&](Paused) { return hold; });
}

/// Pauses the VM if it runs or may begin to run; `enter` records the request.
Result<Paused> RunStateTracker::stop(RunControl& control, const std::function<void(PauseLedger&)>& enter) {
  auto status = ask_state(control);
  if (status && !status->running && (status->by_driver || status->uncertain)) {
    status = confirm_stop(control);
  }
  if (!status) {
    return tl::unexpected{status.error()};
  }
  bool by_us = false;
  bool keep = false;
  bool command = false;
  {
    const MutexLock lock{ledger_mutex_};
    command = status->running || (status->may_start && !ledger_.by_us());
    if (command || in_doubt_) {
      ledger_.set_by_us();
    }
    enter(ledger_);
    by_us = ledger_.by_us();
    keep = ledger_.keep();
  }
  in_doubt_ = false;
  if (keep || !by_us) {
    guard_.end();
  } else if (command) {
    if (auto guarded = guard_.arm(control); !guarded) {
      clear_ledger();
      return tl::unexpected{std::move(guarded.error())};
    }
  }
  if (!command) {
    return by_us ? Paused::by_us : Paused::already;
  }
  return command_stop(control);
}

/// Has the driver pause what it believes to be paused. If the VM ran, the pauses until then have ended, and
/// this one is by vmemfs.
Result<RunStatus> RunStateTracker::confirm_stop(RunControl& control) {
  if (auto guarded = guard_.arm(control); !guarded) {
    return tl::unexpected{std::move(guarded.error())};
  }
  const Epoch::Value before = context_.coherence.epoch().load();
  auto status = control.pause();
  if (!status) {
    return status;
  }
  if (status->ran) {
    context_.coherence.drop_all();
    clear_ledger();
    note_state(KnownState::running, kByOthers);
  }
  {
    const MutexLock lock{ledger_mutex_};
    if (status->ran || ledger_.by_driver()) {
      ledger_.set_by_us();
    }
  }
  found(*status, before);
  return status;
}

Result<Paused> RunStateTracker::command_stop(RunControl& control) {
  const Epoch::Value before = context_.coherence.epoch().load();
  auto status = control.pause();
  if (!status) {
    return not_stopped(std::move(status.error()));
  }
  found(*status, before);
  if (status->running) {
    return fail(ErrorKind::busy, "vm", "it was paused, but somebody else resumed it at once; try again");
  }
  log::info("{}: {}", context_.events.vm(),
            status->may_start ? fmt::format("stays paused after '{}'", printable(status->detail)) : "paused");
  const MutexLock lock{ledger_mutex_}; // found() has decided whose pause it is
  return ledger_.by_us() ? Paused::by_us : Paused::already;
}

/// After a failed pause: if the command may have been delivered, the VM may still stop, although the caller
/// got a failure.
tl::unexpected<Error> RunStateTracker::not_stopped(Error why) {
  clear_ledger();
  if (why.kind == ErrorKind::timed_out || why.kind == ErrorKind::source_failed) {
    in_doubt_ = true;
    settle_after(kTryAgainAfter);
  } else {
    guard_.end();
  }
  return tl::unexpected{std::move(why)};
}

Result<void> RunStateTracker::resume_vm(RunControl& control) {
  context_.coherence.drop_all(); // so that no change by the guest can be hidden
  const auto resumed = control.resume();
  if (!resumed) {
    return tl::unexpected{resumed.error()};
  }
  clear_ledger();
  in_doubt_ = false;
  guard_.end();
  context_.coherence.may_change(); // invalidates reads between the drop and the resume
  if (!resumed->running) {
    log::info("{}: is no longer kept paused, and is '{}'", context_.events.vm(), printable(resumed->detail));
    return {};
  }
  paused_since_ns_ = 0;
  memory_changes_ = false;
  log::info("{}: resumed", context_.events.vm());
  note_state(KnownState::running, kByUs);
  return {};
}

Result<void> RunStateTracker::resume(std::optional<HoldId> own_hold) {
  if (context_.attachment.gone()) {
    return gone_error();
  }
  return context_.events.noted(try_resume(own_hold));
}

Result<void> RunStateTracker::try_resume(std::optional<HoldId> own_hold) {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operation_mutex_.assert_held(); // by `lock`
  const auto control = require_run_control();
  if (!control) {
    return tl::unexpected{control.error()};
  }
  const auto others = [&] {
    const MutexLock ledger{ledger_mutex_};
    return ledger_.holds() - (own_hold && ledger_.has_hold(*own_hold) ? 1 : 0);
  };
  // Holds end when somebody resumes the VM; a pause by somebody else may not be known yet.
  if (others() > 0 || state_ != KnownState::paused) {
    static_cast<void>(ask_state(**control));
  }
  if (const std::size_t holds = others(); holds > 0) {
    return fail(ErrorKind::busy, "vm",
                fmt::format("{} open control file(s) hold the VM paused (pause hold); it runs when they are "
                            "closed",
                            holds));
  }
  return resume_vm(**control);
}

bool RunStateTracker::is_held(HoldId hold) const {
  const MutexLock lock{ledger_mutex_};
  return ledger_.has_hold(hold);
}

bool RunStateTracker::in_use() const {
  const Info now = info();
  return watch_.has_viewers() || now.by == PausedBy::us || now.holds > 0;
}

RunStateTracker::Info RunStateTracker::info() const {
  const MutexLock lock{ledger_mutex_};
  Info info{PausedBy::nobody, ledger_.holds(), ledger_.keep(), std::nullopt};
  if (paused_since_ns_ != 0) {
    info.by = ledger_.by_us() ? PausedBy::us : PausedBy::other;
  }
  if (ledger_.until()) {
    info.ends_in = std::chrono::duration_cast<std::chrono::milliseconds>(*ledger_.until() - Clock::now());
  }
  return info;
}

std::chrono::system_clock::time_point RunStateTracker::last_change() const {
  const std::int64_t paused_since = memory_changes_ ? 0 : paused_since_ns_.load();
  const std::int64_t since = context_.driver.frozen() ? attached_ns_ : paused_since;
  return std::chrono::system_clock::time_point{
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::nanoseconds{since != 0 ? since : wall_ns()})};
}

void RunStateTracker::note_write() {
  if (paused_since_ns_ != 0) {
    paused_since_ns_ = wall_ns();
  }
}

void RunStateTracker::clear_ledger() {
  const MutexLock lock{ledger_mutex_};
  ledger_.clear();
}

} // namespace vmemfs
