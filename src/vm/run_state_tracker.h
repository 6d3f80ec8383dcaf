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
enum class PausedBy : unsigned char { nobody, us, other };

/// "nobody", "vmemfs" or "other".
[[nodiscard]] std::string_view to_string(PausedBy who);

/// What a pause came to.
enum class Paused : unsigned char {
  by_us,   ///< it stands because of us
  already, ///< somebody else had paused it: this pause changes nothing and ends nothing
};

/// Thread-safe. Operations take turns.
class RunStateTracker {
public:
  using Clock = std::chrono::steady_clock;
  /// Has a method of this object called on another thread after a while, unless the VM has ended by then.
  using Schedule = std::function<void(Clock::duration, void (RunStateTracker::*)())>;
  /// Is told when the VM is known to have come to a stand or to run again, once a change; what it was when
  /// first looked at is no change. The words say because of whom.
  using Notify = std::function<void(EventKind, std::string)>;

  /// `guard` may be null; `id` is the VM's number there. Everything outlives this object.
  RunStateTracker(Driver& driver, Coherence& coherence, PauseGuard* guard, std::uint32_t id,
                  const std::string& name, Schedule schedule, Notify notify);
  /// A guard that is still needed, as the VM could not be let run, stays.
  ~RunStateTracker();
  RunStateTracker(const RunStateTracker&) = delete;
  RunStateTracker& operator=(const RunStateTracker&) = delete;

  [[nodiscard]] Result<RunStatus> status();

  [[nodiscard]] Result<Paused> pause(PauseKind kind, std::chrono::milliseconds for_how_long);
  /// A pause that lasts until end_hold(). Several count.
  [[nodiscard]] Result<HoldId> hold();
  /// Never fails for the caller: where the VM can't be resumed at once it is tried again.
  void end_hold(HoldId hold);
  [[nodiscard]] bool is_held(HoldId hold) const;
  /// Ends every pause, whoever made it; busy where others than `own_hold` hold the VM.
  [[nodiscard]] Result<void> resume(std::optional<HoldId> own_hold);
  /// Lets the VM run if it was us who stopped it, unless it is to be kept so.
  void release();

  /// The state may have changed: asks for it, on another thread.
  void poll_soon();

  /// Somebody may keep pages of the VM's memory where we don't see it (a mapping), and so the end of a
  /// standstill has to be noticed soon, until end_view(). Views count.
  void begin_view();
  void end_view() { --viewers_; }
  [[nodiscard]] bool has_viewers() const { return viewers_ > 0; }

  /// Held, it keeps the VM's state from being changed by us.
  [[nodiscard]] std::unique_lock<std::mutex> lock_operations() { return std::unique_lock{operation_mutex_}; }

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
  enum class KnownState : unsigned char { unknown, running, paused };

  void poll();
  void watch_while_paused();
  void watch();
  void lock_and_settle();

  // With operation_mutex_ held.
  Result<RunControl*> require_run_control();
  Result<RunStatus> ask_state(RunControl& control);
  void found_paused(Epoch::Value before);
  void found_running(Epoch::Value before);
  void note_state(KnownState now, std::string_view because_of);
  Result<Paused> stop(RunControl& control, const std::function<void(PauseLedger&)>& enter);
  Result<Paused> stop_running(RunControl& control);
  tl::unexpected<Error> not_stopped(Error why);
  Result<void> resume_vm(RunControl& control);
  Result<void> resume_if_ours(RunControl& control);
  void settle();
  Result<void> arm_guard(RunControl& control);
  void end_guard();
  void clear_ledger();

  Driver& driver_;
  Coherence& coherence_;
  PauseGuard* const guard_;
  const std::uint32_t id_;
  const std::string& name_;
  const Schedule schedule_;
  const Notify notify_;

  std::mutex operation_mutex_;
  bool guarded_ = false;  ///< the guard is armed; needs operation_mutex_
  bool in_doubt_ = false; ///< a pause of ours failed, but may still come about; needs operation_mutex_
  KnownState state_ = KnownState::unknown; ///< that others were told of; needs operation_mutex_
  std::string settle_error_;        ///< why the VM could not be let run the last time; needs operation_mutex_
  mutable std::mutex ledger_mutex_; ///< never held while waiting
  PauseLedger ledger_;              ///< changed only with operation_mutex_ held as well

  std::atomic<std::int64_t> paused_since_ns_{0}; ///< since the Unix epoch; 0: runs, or not known
  std::atomic<bool> poll_pending_{false};
  std::atomic<int> viewers_{0};
  std::atomic<std::int64_t> next_watch_{0}; ///< when watch() is to come, on Clock; 0: it is not
};

} // namespace vmemfs
