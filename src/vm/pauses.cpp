#include "vm/pauses.h"

#include "core/text.h"
#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

/// How often, at most, a VM that stands is looked at when nobody reads it, for the sake of mapped pages.
constexpr std::chrono::milliseconds kLookEvery{100};
/// The same where nobody has the memory open.
constexpr std::chrono::milliseconds kLookRarely{1000};
/// After which time something is tried again that must come about in the end.
constexpr std::chrono::milliseconds kTryAgainAfter{500};

// Because of whom a VM stands or runs, for Pauses::Tell.
constexpr std::string_view kByUs = "by us";
constexpr std::string_view kByOthers = "by somebody else";

std::int64_t wall_ns() {
  return std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

/// The next multiple of `period`: what stands is looked at all in one go, which takes one waking up for a
/// whole host instead of one for each VM.
Pauses::Clock::time_point next_common_moment(Pauses::Clock::duration period) {
  const auto now = Pauses::Clock::now().time_since_epoch();
  return Pauses::Clock::time_point{now - now % period + period};
}

} // namespace

std::string_view to_string(PausedBy who) {
  switch (who) {
  case PausedBy::nobody: return "nobody";
  case PausedBy::us: return "vmemfs";
  case PausedBy::somebody_else: return "other";
  }
  return "unknown";
}

Pauses::Pauses(Driver& driver, Coherence& coherence, PauseGuard* guard, std::uint32_t id,
               const std::string& name, Later later, Tell tell)
    : driver_{driver}, coherence_{coherence}, guard_{guard}, id_{id}, name_{name}, later_{std::move(later)},
      tell_{std::move(tell)} {}

Pauses::~Pauses() {
  if (driver_.gone() || !(ledger_.ours() || in_doubt_)) {
    end_guard();
  }
}

void Pauses::look_soon() {
  if (!look_pending_.exchange(true)) {
    later_({}, &Pauses::look);
  }
}

void Pauses::look() {
  look_pending_ = false; // what comes from here on takes another look
  const std::scoped_lock lock{turn_};
  const auto control = run_control_or_why_not();
  if (!control) {
    return;
  }
  if (const auto status = ask_state(**control); !status) {
    log::debug("{}: asking for the state: {}", name_, status.error().message());
  }
}

/// Follows the state of a VM that stands, as long as it does: mapped pages must go when somebody else lets it
/// run, also if nobody reads. Where nothing can be mapped it is only for telling of it.
void Pauses::watch_while_it_stands() {
  if (!driver_.state_delay()) {
    return;
  }
  const auto next = next_common_moment(viewers_ > 0 ? kLookEvery : kLookRarely);
  const std::int64_t due = next.time_since_epoch().count();
  const std::int64_t planned = next_watch_;
  if (planned == 0 || planned > due) {
    next_watch_ = due;
    later_(next - Clock::now(), &Pauses::watch);
  }
}

void Pauses::watch() {
  if (Clock::now().time_since_epoch().count() < next_watch_) {
    return; // an earlier one was planned meanwhile, and that goes on
  }
  next_watch_ = 0;
  if (paused_since_ns_ != 0 && !driver_.gone()) {
    driver_.follow_state();
    watch_while_it_stands();
  }
}

void Pauses::begin_view() {
  if (viewers_++ == 0 && paused_since_ns_ != 0) {
    driver_.follow_state();
    watch_while_it_stands();
  }
}

Result<RunStatus> Pauses::ask_state(RunControl& control) {
  const Epoch::Value before = coherence_.epoch().load();
  auto status = control.run_status();
  if (!status) {
    return status;
  }
  if (status->running) {
    found_running(before);
    return status;
  }
  bool ours = false;
  {
    const std::scoped_lock lock{ledger_mutex_};
    ours = ledger_.ours() || in_doubt_;
  }
  // It stands for a reason of its own: nobody's pause keeps it, and none may end it.
  if (!status->by_command) {
    in_doubt_ = false;
    clear_ledger();
    end_guard();
  }
  took_stand(before);
  note_state(KnownState::standing, !status->by_command
                                       ? fmt::format("by itself: {}", printable(status->detail))
                                       : std::string{ours ? kByUs : kByOthers});
  return status;
}

void Pauses::found_running(Epoch::Value before) {
  // Either nobody has told us yet, or too early: QEMU tells of a resume just before the vCPUs run.
  if (before.stands || paused_since_ns_ != 0) {
    coherence_.drop_all();
  }
  paused_since_ns_ = 0;
  in_doubt_ = false;
  clear_ledger();
  end_guard();
  note_state(KnownState::running, kByOthers);
}

void Pauses::note_state(KnownState now, std::string_view because_of) {
  const KnownState before = std::exchange(state_, now);
  if (before != KnownState::unknown && before != now) {
    tell_(now == KnownState::running ? EventKind::resumed : EventKind::paused, std::string{because_of});
  }
}

/// The VM was found standing after `before` had been loaded.
void Pauses::took_stand(Epoch::Value before) {
  const bool is_followed = driver_.state_delay().has_value();
  // Where it is followed, memory that was not known to stand may have changed until now.
  if (paused_since_ns_ == 0 || (is_followed && !before.stands)) {
    paused_since_ns_ = wall_ns();
  }
  watch_while_it_stands();
  // Where nobody would tell us that it runs again, nothing may be kept.
  if (before.stands || !is_followed) {
    return;
  }
  if (!coherence_.stands_since(before)) {
    look_soon();
  }
}

Result<RunControl*> Pauses::run_control_or_why_not() {
  if (driver_.gone()) {
    return fail(ErrorKind::vm_gone, "vm", "the VM has ended");
  }
  RunControl* const control = driver_.run_control();
  if (control == nullptr) {
    return fail(ErrorKind::unsupported, driver_.identity().driver,
                fmt::format("this VM can't be paused or resumed: {}", driver_.access().run_control));
  }
  return control;
}

Result<RunStatus> Pauses::status() {
  const std::scoped_lock lock{turn_};
  return run_control_or_why_not().and_then([this](RunControl* control) { return ask_state(*control); });
}

Result<Paused> Pauses::pause(PauseKind kind, std::chrono::milliseconds for_how_long) {
  const std::scoped_lock lock{turn_};
  const auto until = Clock::now() + for_how_long;
  auto paused = run_control_or_why_not().and_then([&](RunControl* control) {
    return stop(*control, [&](PauseLedger& ledger) {
      if (ledger.ours()) { // a command ends nobody else's pause, so it is not entered for one
        ledger.add(kind, until);
      }
    });
  });
  if (paused == Paused::by_us && kind == PauseKind::timed) {
    later_(until - Clock::now(), &Pauses::settle_in_turn);
  }
  return paused;
}

Result<HoldId> Pauses::hold() {
  const std::scoped_lock lock{turn_};
  HoldId hold = 0;
  auto paused = run_control_or_why_not().and_then([&](RunControl* control) {
    return stop(*control, [&](PauseLedger& ledger) { hold = ledger.add_hold(); });
  });
  return paused.map([&](Paused) { return hold; });
}

/// Sees to it that the VM stands; `enter` notes who wants it.
Result<Paused> Pauses::stop(RunControl& control, const std::function<void(PauseLedger&)>& enter) {
  const auto status = ask_state(control);
  if (!status) {
    return tl::unexpected{status.error()};
  }
  bool ours = false;
  bool keep = false;
  {
    const std::scoped_lock lock{ledger_mutex_};
    if (status->running || in_doubt_) {
      ledger_.set_ours();
    }
    enter(ledger_);
    ours = ledger_.ours();
    keep = ledger_.keep();
  }
  in_doubt_ = false;
  if (keep) {
    end_guard();
  } else if (status->running) {
    if (auto guarded = arm_guard(control); !guarded) {
      clear_ledger();
      return tl::unexpected{std::move(guarded.error())};
    }
  }
  if (!status->running) {
    return ours ? Paused::by_us : Paused::already;
  }
  return stop_running(control);
}

Result<Paused> Pauses::stop_running(RunControl& control) {
  if (auto paused = control.pause(); !paused) {
    return not_stopped(std::move(paused.error()));
  }
  const auto now = ask_state(control);
  if (now && now->running) {
    return fail(ErrorKind::busy, "vm", "it was paused, but somebody else let it run again at once");
  }
  if (!now) { // it stands by the command's own word; pages are kept once that was asked
    paused_since_ns_ = wall_ns();
    note_state(KnownState::standing, kByUs);
    look_soon();
  }
  log::info("{}: paused", name_);
  return Paused::by_us;
}

/// A pause of ours failed. Where the command may have got through, the VM may still come to a stand, and
/// nobody who was told of a failure would expect that.
tl::unexpected<Error> Pauses::not_stopped(Error why) {
  clear_ledger();
  if (why.kind == ErrorKind::timed_out || why.kind == ErrorKind::source_failed) {
    in_doubt_ = true;
    later_(kTryAgainAfter, &Pauses::settle_in_turn);
  } else {
    end_guard();
  }
  return tl::unexpected{std::move(why)};
}

Result<void> Pauses::run(RunControl& control) {
  coherence_.drop_all(); // so that nothing the guest changes can be hidden
  auto resumed = control.resume();
  if (!resumed) {
    return resumed;
  }
  clear_ledger();
  in_doubt_ = false;
  paused_since_ns_ = 0;
  end_guard();
  coherence_.may_change(); // what was read between the drop and the resume
  log::info("{}: resumed", name_);
  note_state(KnownState::running, kByUs);
  return {};
}

Result<void> Pauses::resume(std::optional<HoldId> own) {
  const std::scoped_lock lock{turn_};
  const auto control = run_control_or_why_not();
  if (!control) {
    return tl::unexpected{control.error()};
  }
  const auto others = [&] {
    const std::scoped_lock ledger{ledger_mutex_};
    return ledger_.holds() - (own && ledger_.has_hold(*own) ? 1 : 0);
  };
  // Holds end when somebody lets the VM run; and that somebody has paused it we may not know yet.
  if (others() > 0 || state_ != KnownState::standing) {
    static_cast<void>(ask_state(**control));
  }
  if (const std::size_t holds = others(); holds > 0) {
    return fail(ErrorKind::busy, "vm",
                fmt::format("{} open control file(s) hold the VM paused (pause hold); it runs when they are "
                            "closed",
                            holds));
  }
  return run(**control);
}

bool Pauses::is_held(HoldId hold) const {
  const std::scoped_lock lock{ledger_mutex_};
  return ledger_.has_hold(hold);
}

void Pauses::end_hold(HoldId hold) {
  const std::scoped_lock lock{turn_};
  {
    const std::scoped_lock ledger{ledger_mutex_};
    ledger_.end_hold(hold);
  }
  settle();
}

/// Lets the VM run if it was us who stopped it and nobody wants that any more. Tries until it is done.
void Pauses::settle() {
  {
    const std::scoped_lock lock{ledger_mutex_};
    ledger_.expire(Clock::now());
    const bool ours = ledger_.ours() || in_doubt_;
    if (!ours || ledger_.any()) {
      return;
    }
  }
  const auto control = run_control_or_why_not();
  if (!control) {
    return; // it has ended
  }
  if (const auto done = run_if_ours(**control); !done) {
    if (std::exchange(settle_error_, done.error().message()) != done.error().message()) {
      log::warning("{}: could not be resumed, will be tried again: {}", name_, settle_error_);
    }
    later_(kTryAgainAfter, &Pauses::settle_in_turn);
  } else {
    settle_error_.clear();
  }
}

/// Lets the VM run, unless it has come out meanwhile that it is not for us to do so.
Result<void> Pauses::run_if_ours(RunControl& control) {
  if (const auto status = ask_state(control); !status) {
    return tl::unexpected{status.error()};
  }
  {
    const std::scoped_lock lock{ledger_mutex_};
    if (!ledger_.ours() && !in_doubt_) {
      return {};
    }
  }
  return run(control);
}

void Pauses::settle_in_turn() {
  const std::scoped_lock lock{turn_};
  settle();
}

void Pauses::let_go() {
  const std::scoped_lock lock{turn_};
  {
    const std::scoped_lock ledger{ledger_mutex_};
    if (!(ledger_.ours() || in_doubt_) || ledger_.keep()) {
      return;
    }
  }
  const auto control = run_control_or_why_not();
  if (!control) {
    return;
  }
  log::info("{}: was paused by us, so it is resumed", name_);
  if (const auto resumed = run_if_ours(**control); !resumed) { // then the guard goes on trying
    log::error("{}: could not be resumed: {}", name_, resumed.error().message());
  }
}

Result<void> Pauses::arm_guard(RunControl& control) {
  const std::string ticket = control.resume_ticket();
  if (guard_ == nullptr || ticket.empty()) {
    return {};
  }
  auto armed = guard_->arm(id_, driver_.identity().driver, ticket);
  guarded_ = guarded_ || armed.has_value();
  return armed;
}

void Pauses::end_guard() {
  if (std::exchange(guarded_, false)) {
    guard_->disarm(id_);
  }
}

Pauses::Info Pauses::info() const {
  const std::scoped_lock lock{ledger_mutex_};
  Info info{PausedBy::nobody, ledger_.holds(), ledger_.keep(), std::nullopt};
  if (paused_since_ns_ != 0) {
    info.by = ledger_.ours() ? PausedBy::us : PausedBy::somebody_else;
  }
  if (ledger_.until()) {
    info.ends_in = std::chrono::duration_cast<std::chrono::milliseconds>(*ledger_.until() - Clock::now());
  }
  return info;
}

std::chrono::system_clock::time_point Pauses::last_change() const {
  const std::int64_t since = paused_since_ns_;
  return std::chrono::system_clock::time_point{
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::nanoseconds{since != 0 ? since : wall_ns()})};
}

void Pauses::note_write() {
  if (paused_since_ns_ != 0) {
    paused_since_ns_ = wall_ns();
  }
}

void Pauses::clear_ledger() {
  const std::scoped_lock lock{ledger_mutex_};
  ledger_.clear();
}

} // namespace vmemfs
