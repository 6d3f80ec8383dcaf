// Calls of libvirt about one domain, none of which is waited for without end.
//
// A daemon that does not answer is noticed by the connection. One that does, and itself waits for a QEMU that
// hangs (stopped, or on a file system that is away), is not: it never says so. A call that takes too long is
// given up here, and while it is under way no other is made: they would only take up the places that the
// connection has for calls (5), on which the other domains of that host depend.
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

/// Thread-safe.
class LimitedCalls {
public:
  static constexpr std::chrono::milliseconds kLimit{10'000};
  static constexpr unsigned kAtOnce = 3;

  /// `whose`: the domain, for errors. `limit`: for tests.
  explicit LimitedCalls(std::string whose, std::chrono::milliseconds limit = kLimit)
      : whose_{std::move(whose)}, limit_{limit} {}

  /// Makes the call on a thread that is left to itself when it takes too long, so that the call has to own
  /// all it uses. timed_out: it does, or an earlier one does and is still under way.
  template <typename T> Result<T> make(std::function<Result<T>()> call) {
    const auto answer = std::make_shared<std::optional<Result<T>>>();
    const auto made = run([answer, call = std::move(call)] { answer->emplace(call()); });
    return made ? std::move(**answer) : tl::unexpected{made.error()};
  }

private:
  struct State {
    std::mutex mutex; ///< guards what follows
    std::condition_variable changed;
    unsigned under_way = 0;
    unsigned given_up = 0; ///< of those
  };

  Result<void> run(std::function<void()> call);
  [[nodiscard]] tl::unexpected<Error> no_answer() const;

  const std::string whose_;
  const std::chrono::milliseconds limit_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

} // namespace vmemfs::libvirt
