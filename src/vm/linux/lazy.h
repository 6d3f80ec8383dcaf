// SPDX-License-Identifier: MIT
// A value that is made when it is first asked for.
#pragma once

#include "core/error.h"
#include "util/mutex.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

namespace vmemfs {

/// Thread-safe. Whoever asks while it is made waits for it. A failure is kept too, for kFailureValid, so that
/// asking again and again costs nothing.
template <typename T> class Lazy {
public:
  using Value = Result<std::shared_ptr<const T>>;
  static constexpr std::chrono::seconds kFailureValid{5};

  template <typename Make> [[nodiscard]] Value get(Make&& make) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    if (!value_ || (!*value_ && Clock::now() >= failure_ends_)) {
      value_ = make();
      failure_ends_ = Clock::now() + kFailureValid;
      known_.store(value_->value_or(nullptr).get());
      const MutexLock failure_lock{failure_mutex_};
      failure_ = *value_ ? std::optional<Error>{} : value_->error();
    }
    return *value_;
  }

  /// nullptr: it was not made, or that failed. Waits for nobody.
  [[nodiscard]] const T* known() const { return known_.load(); }
  /// Of the last try; nullopt: there was none, or it did not fail. Waits for nobody.
  [[nodiscard]] std::optional<Error> failure() const EXCLUDES(failure_mutex_) {
    const MutexLock lock{failure_mutex_};
    return failure_;
  }

private:
  using Clock = std::chrono::steady_clock;

  Mutex mutex_; ///< held while the value is made
  std::optional<Value> value_ GUARDED_BY(mutex_);
  Clock::time_point failure_ends_ GUARDED_BY(mutex_){};
  std::atomic<const T*> known_{nullptr};
  mutable Mutex failure_mutex_; ///< leaf
  std::optional<Error> failure_ GUARDED_BY(failure_mutex_);
};

} // namespace vmemfs
