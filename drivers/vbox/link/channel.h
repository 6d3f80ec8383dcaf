// SPDX-License-Identifier: MIT
// One request and its reply through the shared memory of FDP.
//
// A general lock admits one client at a time, for one exchange. Each of the two channels has a lock and a
// mark that data are present. Replies have no numbers, so a reply that comes too late would be taken for the
// next one's: after a reply that is missing or makes no sense the channel is broken for good. What another
// client left behind, a request that was not taken or a reply that nobody took, is cleared first.
//
// No wait is without a limit, and no lock is kept when a call returns. A lock that another client holds is
// never broken: whether its holder lives cannot be known. The exception is a vmemfs of the same user that was
// killed and has left a note of it: see LockJournal.
#pragma once

#include "core/error.h"
#include "drivers/vbox/link/packets.h"
#include "drivers/vbox/shared/lock_journal.h"
#include "drivers/vbox/shared/shared_object.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace vmemfs::vbox {

/// Not thread-safe.
class Channel {
public:
  using Clock = std::chrono::steady_clock;
  /// Of the object.
  static constexpr std::size_t kObjectBytes = 20'971'540;
  /// A byte of it that VirtualBox sets when the state of the guest has changed. Only to be looked at: who
  /// clears it would take it from a client that waits for it.
  static constexpr std::size_t kStateChanged = 2;
  /// For a reply that did not come in time, so that the next client does not get it.
  static constexpr std::chrono::seconds kGrace{1};

  /// `object` has kObjectBytes and outlives the channel. `timeout`: of a reply.
  Channel(const SharedObject& object, std::chrono::milliseconds timeout)
      : object_{object}, timeout_{timeout}, journal_{object.id()} {}

  /// `reply` has room for request.reply_bytes; true: they are there, false: VirtualBox refused. `deadline`:
  /// of what is before the request; once it is sent, it has the time limit of a reply. busy: another client
  /// has the general lock. timed_out or source_failed: see broken(). vm_gone.
  [[nodiscard]] Result<bool> ask(const Request& request, std::span<std::byte> reply,
                                 Clock::time_point deadline);

  /// Releases the general lock if a vmemfs of this user was killed while it had it, after what it left in the
  /// channels was cleared. False if there is none.
  [[nodiscard]] bool recover();

  [[nodiscard]] bool broken() const { return broken_; }

private:
  enum class Wait : unsigned char { holds, over };
  using Condition = std::function<Result<bool>()>;
  class Held;

  [[nodiscard]] static Result<Wait> wait_until(Clock::time_point deadline, const Condition& holds);
  [[nodiscard]] Result<bool> try_take(std::size_t lock) const;
  [[nodiscard]] Result<Wait> take(std::size_t lock, Clock::time_point deadline) const;
  [[nodiscard]] Result<Wait> wait_for_mark(std::size_t channel, bool present,
                                           Clock::time_point deadline) const;
  [[nodiscard]] Result<bool> present(std::size_t channel) const;
  [[nodiscard]] Result<void> clear_mark(std::size_t channel) const;

  [[nodiscard]] Result<bool> exchange(const Request& request, std::span<std::byte> reply,
                                      Clock::time_point deadline);
  [[nodiscard]] Result<void> settle(Clock::time_point deadline);
  [[nodiscard]] Result<void> send(const Request& request, Clock::time_point deadline) const;
  [[nodiscard]] Result<void> put(const Request& request) const;
  [[nodiscard]] Result<Verdict> receive(const Request& request, std::span<std::byte> reply,
                                        Clock::time_point deadline) const;
  [[nodiscard]] Result<void> drop_reply(Clock::time_point deadline) const;
  void give_up() const;
  void free_lock(std::size_t channel) const;

  const SharedObject& object_;
  const std::chrono::milliseconds timeout_;
  const LockJournal journal_;
  bool broken_ = false;
};

} // namespace vmemfs::vbox
