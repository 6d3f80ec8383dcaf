// SPDX-License-Identifier: MIT
// Calls of libvirt about one domain, none of which is waited for without end.
//
// A daemon that does not answer is noticed by the connection. One that does, and itself waits for a QEMU that
// hangs (stopped, or on a file system that is away), is not: it never says so. A call that takes too long is
// given up here, and while it is under way no other is made for that domain.
//
// A libvirtd reads nothing from a client that has 5 calls under way (max_client_requests), not even the signs
// of life without which the connection is dropped. So all domains of a connection together keep to one less.
#pragma once

#include "core/error.h"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace vmemfs::libvirt {

/// Places for calls of one connection. Thread-safe.
class CallSlots {
public:
  static constexpr unsigned kSlots = 4;

  /// `second`: of a domain that has one already; that leaves half of them to others, which do not get them
  /// back from a domain that hangs. False: there was none until the deadline.
  [[nodiscard]] bool take(std::chrono::steady_clock::time_point deadline, bool second);
  void release();

private:
  std::mutex mutex_; ///< guards what follows
  std::condition_variable changed_;
  unsigned used_ = 0;
};

/// Thread-safe.
class LimitedCalls {
public:
  /// Of a call, and before that of the wait for its turn.
  static constexpr std::chrono::milliseconds kLimit{10'000};
  /// libvirt lets one at a time get at a domain; with a second one the way there and back costs nothing.
  static constexpr unsigned kAtOnce = 2;

  /// `domain`: the domain, for errors. `limit`: for tests.
  LimitedCalls(std::string domain, std::shared_ptr<CallSlots> slots, std::chrono::milliseconds limit = kLimit)
      : domain_{std::move(domain)}, limit_{limit}, slots_{std::move(slots)} {}

  /// Makes the call on a thread that is left to itself when it takes too long, so that the call has to own
  /// all it uses. timed_out: it does, or an earlier one does and is still under way. busy: its turn did not
  /// come. no_memory: for the thread, or in the call.
  template <typename T> Result<T> make(std::function<Result<T>()> call) {
    const auto answer = std::make_shared<std::optional<Result<T>>>();
    const auto made = run([answer, call = std::move(call)] { answer->emplace(call()); });
    return made ? std::move(**answer) : tl::unexpected{made.error()};
  }

private:
  struct State {
    std::mutex mutex; ///< guards what follows
    std::condition_variable changed;
    unsigned running = 0;
    unsigned given_up = 0; ///< of those
  };

  Result<void> run(std::function<void()> call);
  Result<void> wait_for_slot();
  [[nodiscard]] tl::unexpected<Error> no_answer() const;

  const std::string domain_;
  const std::chrono::milliseconds limit_;
  const std::shared_ptr<CallSlots> slots_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

} // namespace vmemfs::libvirt
