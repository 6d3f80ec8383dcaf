// SPDX-License-Identifier: MIT
// Calls of libvirt for one domain, each with a time limit.
//
// An operation of a caller, such as a read, may make several calls. They have kOperation together: whoever
// makes them puts a WorkLimit in force, which ends the wait for a slot and for an answer.
//
// The connection notices a daemon that does not answer. It does not notice a daemon that itself waits for a
// QEMU that hangs (stopped, or on a file system that is gone): such a call never returns. So a call that
// takes too long is abandoned here, and while it is still running no other call is made for that domain.
//
// A libvirtd reads nothing from a client that has 5 calls running (max_client_requests), not even the
// keepalive messages without which the connection is closed. So all domains of a connection share one slot
// less than that.
#pragma once

#include "core/error.h"
#include "util/mutex.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace vmemfs::libvirt {

/// The slots for calls of one connection. Thread-safe.
class CallSlots {
public:
  static constexpr unsigned kSlots = 4;

  /// `second`: for a domain that has one slot already; half of the slots are reserved for other domains, in
  /// case this one hangs. False: no slot became free until the deadline,
  /// or the thread's WorkLimit is over.
  [[nodiscard]] bool take(std::chrono::steady_clock::time_point deadline, bool second) EXCLUDES(mutex_);
  void release();

private:
  Mutex mutex_;
  Condition changed_;
  unsigned used_ GUARDED_BY(mutex_) = 0;
};

/// Thread-safe.
class LimitedCalls {
public:
  /// Time limit of a call, and of the wait for a slot before it.
  static constexpr std::chrono::milliseconds kLimit{10'000};
  /// Of all calls of an operation, waiting included.
  static constexpr std::chrono::milliseconds kOperation = 2 * kLimit;
  /// libvirt serves one call per domain at a time; a second one in flight hides the round trip.
  static constexpr unsigned kAtOnce = 2;

  /// `domain`: its name for errors. `limit`: for tests.
  LimitedCalls(std::string domain, std::shared_ptr<CallSlots> slots, std::chrono::milliseconds limit = kLimit)
      : domain_{std::move(domain)}, limit_{limit}, slots_{std::move(slots)} {}

  /// Makes the call on a thread that is detached if it takes too long, so the call has to own all it uses.
  /// timed_out: it takes too long, or an earlier one does and is still running, or the WorkLimit of the
  /// thread is over. busy: no slot became free. no_memory: for the thread, or in the call.
  template <typename T> Result<T> make(std::function<Result<T>()> call) {
    const auto answer = std::make_shared<std::optional<Result<T>>>();
    const auto made = run([answer, call = std::move(call)] { answer->emplace(call()); });
    return made ? std::move(**answer) : tl::unexpected{made.error()};
  }

private:
  struct State {
    Mutex mutex;
    Condition changed;
    unsigned running GUARDED_BY(mutex) = 0;
    unsigned given_up GUARDED_BY(mutex) = 0; ///< abandoned, of those
  };

  Result<void> run(std::function<void()> call) EXCLUDES(state_->mutex);
  Result<void> wait_for_slot() EXCLUDES(state_->mutex);
  [[nodiscard]] tl::unexpected<Error> no_answer() const;

  const std::string domain_;
  const std::chrono::milliseconds limit_;
  const std::shared_ptr<CallSlots> slots_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

} // namespace vmemfs::libvirt
