// SPDX-License-Identifier: MIT
// Notifications that domains have ended: one connection to xenstore for all domains of a mount.
#pragma once

#include "drivers/xen/store.h"
#include "util/fd_watcher.h"
#include "util/mutex.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace vmemfs::xen {

/// Thread-safe.
class DomainEvents : public std::enable_shared_from_this<DomainEvents> {
public:
  /// Connects to xenstore, and waits on the watcher's thread.
  static Result<std::shared_ptr<DomainEvents>> open(FdWatcher& watcher);

  DomainEvents(Store store, FdWatcher& watcher) : store_{std::move(store)}, watcher_{watcher} {}
  DomainEvents(const DomainEvents&) = delete;
  DomainEvents& operator=(const DomainEvents&) = delete;
  ~DomainEvents() = default;

  [[nodiscard]] const Store& store() const { return store_; }

  /// Ends when destroyed; afterwards the callback is not running any more.
  class Subscription {
  public:
    Subscription() = default;
    Subscription(std::shared_ptr<DomainEvents> events, std::uint64_t number)
        : events_{std::move(events)}, number_{number} {}
    Subscription(Subscription&& other) noexcept : events_{std::move(other.events_)}, number_{other.number_} {}
    Subscription& operator=(Subscription&& other) noexcept;
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription() { end(); }

  private:
    void end();

    std::shared_ptr<DomainEvents> events_;
    std::uint64_t number_ = 0;
  };

  /// `callback` is called on the watcher's thread each time any domain has ended. It must return soon and
  /// must not end subscriptions.
  [[nodiscard]] Subscription subscribe(std::function<void()> callback);

private:
  Result<void> wait() EXCLUDES(mutex_);
  void hear() EXCLUDES(mutex_);

  Store store_;
  FdWatcher& watcher_;
  Mutex mutex_; ///< held while callbacks are called
  std::map<std::uint64_t, std::function<void()>> callbacks_ GUARDED_BY(mutex_);
  std::uint64_t next_number_ GUARDED_BY(mutex_) = 1;
  FdWatcher::Watch watch_ GUARDED_BY(mutex_); ///< last: its callback uses the rest
};

} // namespace vmemfs::xen
