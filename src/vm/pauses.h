// Whether a VM runs, who stopped it, and who still wants it stopped.
//
// Order of things: our own resume makes a new epoch and has outer caches dropped, then lets the guest run;
// our own pause waits until the guest stands, then makes the epoch under which pages may be kept. That the VM
// stands is believed only once the driver was asked, so that events which come late do no harm.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "vm/coherence.h"
#include "vm/event_log.h"
#include "vm/pause_guard.h"
#include "vm/pause_ledger.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace vmemfs {

/// Who stopped the VM, as far as can be told.
enum class PausedBy : unsigned char { nobody, us, somebody_else };

/// "nobody", "vmemfs" or "other".
[[nodiscard]] std::string_view to_string(PausedBy who);

/// What a pause came to.
enum class Paused : unsigned char {
  by_us,   ///< it stands because of us
  already, ///< somebody else had paused it: this pause changes nothing and ends nothing
};

/// Thread-safe. Operations take turns.
class Pauses {
public:
  using Clock = std::chrono::steady_clock;
  /// Has a method of this object called on another thread after a while, unless the VM has ended by then.
  using Later = std::function<void(Clock::duration, void (Pauses::*)())>;
  /// Is told when the VM is known to have come to a stand or to run again, once a change; what it was when
  /// first looked at is no change. The words say because of whom.
  using Tell = std::function<void(EventKind, std::string)>;

  /// `guard` may be null; `id` is the VM's number there. Everything outlives this object.
  Pauses(Driver& driver, Coherence& coherence, PauseGuard* guard, std::uint32_t id, const std::string& name,
         Later later, Tell tell);
  /// A guard that is still needed, as the VM could not be let run, stays.
  ~Pauses();
  Pauses(const Pauses&) = delete;
  Pauses& operator=(const Pauses&) = delete;

  [[nodiscard]] Result<RunStatus> status();

  [[nodiscard]] Result<Paused> pause(PauseKind kind, std::chrono::milliseconds for_how_long);
  /// A pause that lasts until end_hold(). Several count.
  [[nodiscard]] Result<HoldId> hold();
  /// Never fails for the caller: where the VM can't be resumed at once it is tried again.
  void end_hold(HoldId hold);
  [[nodiscard]] bool is_held(HoldId hold) const;
  /// Ends every pause, whoever made it; busy where others than `own` hold the VM.
  [[nodiscard]] Result<void> resume(std::optional<HoldId> own);
  /// Lets the VM run if it was us who stopped it, unless it is to be kept so.
  void let_go();

  /// The state may have changed: asks for it, on another thread.
  void look_soon();

  /// Somebody may keep pages of the VM's memory where we don't see it (a mapping), and so the end of a
  /// standstill has to be noticed soon, until end_view(). Views count.
  void begin_view();
  void end_view() { --viewers_; }
  [[nodiscard]] bool has_viewers() const { return viewers_ > 0; }

  /// Held, it keeps the VM's state from being changed by us.
  [[nodiscard]] std::unique_lock<std::mutex> turn() { return std::unique_lock{turn_}; }

  /// As last known.
  struct Info {
    PausedBy by;
    std::size_t holds;
    bool keep;
    std::optional<std::chrono::milliseconds> ends_in;
  };
  [[nodiscard]] Info info() const;
  /// When guest memory last may have changed: now, unless the VM is known to stand.
  [[nodiscard]] std::chrono::system_clock::time_point last_change() const;
  /// Guest memory was written by us.
  void note_write();

private:
  enum class KnownState : unsigned char { unknown, running, standing };

  void look();
  void watch_while_it_stands();
  void watch();
  void settle_in_turn();

  // With turn_ held.
  Result<RunControl*> run_control_or_why_not();
  Result<RunStatus> ask_state(RunControl& control);
  void took_stand(Epoch::Value before);
  void found_running(Epoch::Value before);
  void note_state(KnownState now, std::string_view because_of);
  Result<Paused> stop(RunControl& control, const std::function<void(PauseLedger&)>& enter);
  Result<Paused> stop_running(RunControl& control);
  tl::unexpected<Error> not_stopped(Error why);
  Result<void> run(RunControl& control);
  Result<void> run_if_ours(RunControl& control);
  void settle();
  Result<void> arm_guard(RunControl& control);
  void end_guard();
  void clear_ledger();

  Driver& driver_;
  Coherence& coherence_;
  PauseGuard* const guard_;
  const std::uint32_t id_;
  const std::string& name_;
  const Later later_;
  const Tell tell_;

  std::mutex turn_;
  bool guarded_ = false;                   ///< the guard is armed; needs turn_
  bool in_doubt_ = false;                  ///< a pause of ours failed, but may still come about; needs turn_
  KnownState state_ = KnownState::unknown; ///< that others were told of; needs turn_
  std::string settle_error_;               ///< why the VM could not be let run the last time; needs turn_
  mutable std::mutex ledger_mutex_;        ///< never held while waiting
  PauseLedger ledger_;                     ///< changed only with turn_ held as well

  std::atomic<std::int64_t> paused_since_ns_{0}; ///< since the Unix epoch; 0: runs, or not known
  std::atomic<bool> look_pending_{false};
  std::atomic<int> viewers_{0};
  std::atomic<std::int64_t> next_watch_{0}; ///< when watch() is to come, on Clock; 0: it is not
};

} // namespace vmemfs
