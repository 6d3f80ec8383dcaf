// SPDX-License-Identifier: MIT
// Lease of an object to jobs on other threads, which may run after it has ended.
#pragma once

#include "util/mutex.h"

#include <memory>
#include <utility>

namespace vmemfs {

/// Thread-safe. A member of the object that jobs use; a job captures a copy of share().
template <typename Owner> class OwnerLease {
  struct State {
    explicit State(Owner& holder) : owner{&holder} {}
    Mutex mutex;
    Owner* owner GUARDED_BY(mutex);
  };

public:
  /// What a job keeps; outlives the object.
  class Share {
  public:
    /// Calls `use(owner)` unless the object has ended, which waits until `use` has returned. True if it
    /// was called.
    template <typename Use> bool with(Use&& use) const {
      const MutexLock lock{state_->mutex};
      if (state_->owner == nullptr) {
        return false;
      }
      std::forward<Use>(use)(*state_->owner);
      return true;
    }

  private:
    friend class OwnerLease;
    explicit Share(std::shared_ptr<State> state) : state_{std::move(state)} {}
    std::shared_ptr<State> state_;
  };

  explicit OwnerLease(Owner& owner) : state_{std::make_shared<State>(owner)} {}
  ~OwnerLease() { end(); }
  OwnerLease(const OwnerLease&) = delete;
  OwnerLease& operator=(const OwnerLease&) = delete;

  [[nodiscard]] Share share() const { return Share{state_}; }

  /// Waits for a job that uses the object, and keeps later ones from it. Call it first in the owner's
  /// destructor, unless the lease is the owner's last member. Must not be called by a job.
  void end() {
    const MutexLock lock{state_->mutex};
    state_->owner = nullptr;
  }

private:
  const std::shared_ptr<State> state_;
};

} // namespace vmemfs
