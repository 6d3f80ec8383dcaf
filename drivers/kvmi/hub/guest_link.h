// SPDX-License-Identifier: MIT
// A VM that has connected, and may lose its connection and connect again.
#pragma once

#include "drivers/kvmi/link/session.h"
#include "drivers/kvmi/wire/greeting.h"
#include "util/mutex.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace vmemfs::kvmi {

/// Thread-safe. The hub changes it, the driver follows it.
class GuestLink {
public:
  enum class State : std::uint8_t {
    connected,
    lost, ///< its connection has ended; it may come back
    gone, ///< final
  };

  explicit GuestLink(Greeting greeting) : greeting_{std::move(greeting)} {}

  /// As it was when it connected first.
  [[nodiscard]] const Greeting& greeting() const { return greeting_; }
  [[nodiscard]] State state() const { return state_; }
  /// The current connection; null unless connected.
  [[nodiscard]] std::shared_ptr<Session> session() const EXCLUDES(mutex_);

  using Subscriber = std::function<void(State)>;
  /// From now on `subscriber` is called for each change, on the hub's thread; it must not wait, and must not
  /// subscribe. False: another one is subscribed.
  [[nodiscard]] bool subscribe(Subscriber subscriber) EXCLUDES(subscriber_mutex_);
  /// Waits for a call that is under way.
  void unsubscribe() EXCLUDES(subscriber_mutex_);

  // For the hub.
  void connected(std::shared_ptr<Session> session);
  void lost();
  void gone();

  /// Identifies a VM across its connections, and among all: FoundVm::key.
  [[nodiscard]] static std::string key_of(const Greeting& greeting);

private:
  void change(State state, std::shared_ptr<Session> session) EXCLUDES(mutex_, subscriber_mutex_);

  const Greeting greeting_;
  std::atomic<State> state_{State::lost};
  mutable Mutex mutex_; ///< leaf
  std::shared_ptr<Session> session_ GUARDED_BY(mutex_);
  Mutex subscriber_mutex_; ///< held while the subscriber is called
  Subscriber subscriber_ GUARDED_BY(subscriber_mutex_);
};

} // namespace vmemfs::kvmi
