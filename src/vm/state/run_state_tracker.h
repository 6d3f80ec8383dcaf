// SPDX-License-Identifier: MIT
// Tracker of a VM's run state, its pauses and who requested them.
//
// Order: a resume by vmemfs begins a new epoch and has outer caches dropped, then resumes the guest; a
// pause by vmemfs waits until the guest is stopped, then begins the epoch under which pages may be kept.
// The VM counts as paused only after the driver was queried, so that late events do no harm.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "util/mutex.h"
#include "util/timed_lock.h"
#include "vm/event_log.h"
#include "vm/state/attachment.h"
#include "vm/state/coherence.h"
#include "vm/state/guard_lease.h"
#include "vm/state/pause_guard.h"
#include "vm/state/pause_ledger.h"
#include "vm/state/state_watch.h"
#include "vm/vm_events.h"
#include "vm/vm_jobs.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace vmemfs {

/// Who stopped the VM, as far as known.
enum class PausedBy : unsigned char { nobody, us, other };

/// "nobody", "vmemfs" or "other".
[[nodiscard]] std::string_view to_string(PausedBy who);

/// Result of a pause.
enum class Paused : unsigned char {
  by_us,   ///< vmemfs paused it
  already, ///< it was paused by somebody else: this pause changes nothing and ends nothing
};

/// Thread-safe. Operations are serialized. Every failure of an operation that changes the state is reported.
class RunStateTracker {
public:
  using Clock = std::chrono::steady_clock;

  /// References outlive this object, and are part of the owner of the jobs. It reports `paused` and `resumed`
  /// when the VM is known to have done that, once per change; the first known state is not a change.
  struct Context {
    Driver& driver;
    const Attachment& attachment;
    Coherence& coherence;
    VmEvents& events;
    const VmJobs& jobs;
    PauseGuard* guard;   ///< may be null
    std::uint32_t vm_id; ///< the VM's number there
  };
  explicit RunStateTracker(const Context& context);
  /// A guard that is still needed, because the VM could not be resumed, stays armed.
  ~RunStateTracker();
  RunStateTracker(const RunStateTracker&) = delete;
  RunStateTracker& operator=(const RunStateTracker&) = delete;

  /// Whether the VM can be paused and resumed, and its state be asked for.
  [[nodiscard]] bool available() const { return context_.driver.run_control() != nullptr; }
  /// See Driver::state_delay().
  [[nodiscard]] std::optional<std::chrono::milliseconds> state_delay() const {
    return context_.driver.state_delay();
  }

  /// Why no page may be kept although the guest is paused, and the remedy: it cannot be paused, or nothing
  /// would report that somebody else resumes it. Empty: pages may be kept.
  [[nodiscard]] std::string no_cache_reason() const;

  /// Asks the driver.
  [[nodiscard]] Result<RunStatus> status();

  [[nodiscard]] Result<Paused> pause(PauseKind kind = PauseKind::plain,
                                     std::chrono::milliseconds for_how_long = {});
  /// Pauses until end_hold(). Holds are counted.
  [[nodiscard]] Result<HoldId> hold();
  /// Never fails for the caller: if the VM cannot be resumed at once, it is retried.
  void end_hold(HoldId hold);
  [[nodiscard]] bool is_held(HoldId hold) const;
  /// Ends every pause, whoever requested it; busy if holds other than `own_hold` exist.
  [[nodiscard]] Result<void> resume(std::optional<HoldId> own_hold = std::nullopt);
  /// Resumes the VM if vmemfs paused it, unless it is to be kept paused, and detaches the driver. Failure: it
  /// may stay paused; that is reported.
  Result<void> release() EXCLUDES(operation_mutex_);
  /// The same when the process is about to end: it is no failure that the VM could not be resumed, as the
  /// guardian does that then.
  Result<void> release_at_end() EXCLUDES(operation_mutex_);

  /// The state may have changed: queries it, on another thread.
  void poll_soon();

  /// A client may map pages of the VM's memory, which vmemfs cannot observe, so the end of a pause must
  /// be noticed soon, until end_view(). Views are counted.
  void begin_view() { watch_.begin_view(); }
  void end_view() { watch_.end_view(); }
  /// There is a view, or vmemfs paused the VM: it must not be detached without a request.
  [[nodiscard]] bool in_use() const;

  /// Limit of the wait for another operation of the VM, which may hang in the driver.
  static constexpr std::chrono::seconds kMaxOperationWait{5};
  /// While held, vmemfs does not change the VM's state. busy: others have used up the limit.
  [[nodiscard]] Result<TimedLock::Owner> lock_operations();

  /// As last known.
  struct Info {
    PausedBy by;
    std::size_t holds;
    bool keep;
    std::optional<std::chrono::milliseconds> ends_in;
  };
  [[nodiscard]] Info info() const EXCLUDES(ledger_mutex_);
  /// Time of the last possible change of guest memory: now, unless the VM is known to be paused.
  [[nodiscard]] std::chrono::system_clock::time_point last_change() const;
  /// It is paused, and its memory changes nevertheless: see RunStatus.
  [[nodiscard]] bool memory_changes() const { return memory_changes_; }
  /// Guest memory was written through vmemfs.
  void note_write();

private:
  /// Retry delay of an operation that must succeed in the end.
  static constexpr std::chrono::milliseconds kTryAgainAfter{500};

  enum class KnownState : unsigned char { unknown, running, paused };

  void poll() EXCLUDES(operation_mutex_);
  void lock_and_settle() EXCLUDES(operation_mutex_);
  void settle_after(Clock::duration delay);
  template <typename T> Result<T> unless_detached(Result<T> paused) EXCLUDES(operation_mutex_);
  [[nodiscard]] Result<Paused> cannot_keep() const;
  Result<Paused> try_pause(PauseKind kind, std::chrono::milliseconds for_how_long) EXCLUDES(operation_mutex_);
  Result<HoldId> try_hold() EXCLUDES(operation_mutex_);
  Result<void> try_resume(std::optional<HoldId> own_hold) EXCLUDES(operation_mutex_);

  Result<RunControl*> require_run_control() REQUIRES(operation_mutex_);
  Result<RunStatus> ask_state(RunControl& control) REQUIRES(operation_mutex_);
  void found(const RunStatus& status, Epoch::Value before) REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  void found_paused(const RunStatus& status, Epoch::Value before) REQUIRES(operation_mutex_);
  void found_running(Epoch::Value before) REQUIRES(operation_mutex_);
  void note_state(KnownState now, std::string_view because_of) REQUIRES(operation_mutex_);
  Result<Paused> stop(RunControl& control, const std::function<void(PauseLedger&)>& enter)
      REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  Result<RunStatus> confirm_stop(RunControl& control) REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  void found_by_driver() REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  Result<Paused> command_stop(RunControl& control) REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  tl::unexpected<Error> not_stopped(Error why) REQUIRES(operation_mutex_);
  Result<void> resume_vm(RunControl& control) REQUIRES(operation_mutex_);
  Result<void> resume_if_ours(RunControl& control) REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  struct Released {
    Result<void> resumed;
    Result<void> detached;
  };
  [[nodiscard]] Released let_go() EXCLUDES(operation_mutex_);
  [[nodiscard]] Result<void> end_pause() REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  void settle() REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);
  void clear_ledger() REQUIRES(operation_mutex_) EXCLUDES(ledger_mutex_);

  const Context context_;

  TimedLock operation_mutex_ ACQUIRED_BEFORE(ledger_mutex_);
  GuardLease guard_ GUARDED_BY(operation_mutex_);
  /// A pause failed, but may still take effect.
  bool in_doubt_ GUARDED_BY(operation_mutex_) = false;
  /// The last reported state.
  KnownState state_ GUARDED_BY(operation_mutex_) = KnownState::unknown;
  /// Why the last resume failed.
  std::string settle_error_ GUARDED_BY(operation_mutex_);
  mutable Mutex ledger_mutex_;                   ///< never held while waiting
  PauseLedger ledger_ GUARDED_BY(ledger_mutex_); ///< changed only with operation_mutex_ held as well

  const std::int64_t attached_ns_;               ///< since the Unix epoch
  std::atomic<std::int64_t> paused_since_ns_{0}; ///< since the Unix epoch; 0: running or unknown
  std::atomic<bool> memory_changes_{false};      ///< although it is paused; see RunStatus
  std::atomic<bool> poll_pending_{false};
  StateWatch watch_;
};

} // namespace vmemfs
