// SPDX-License-Identifier: MIT
// Notification of the service manager, with the protocol of sd_notify(3).
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// Does nothing if there is no service manager. Thread-safe.
class ServiceNotify {
public:
  /// Removes NOTIFY_SOCKET from the environment, so that child processes do not send notifications. Call
  /// before any thread is created.
  static ServiceNotify from_environment();

  void ready() const { say("READY=1"); }
  void stopping() const { say("STOPPING=1"); }

private:
  explicit ServiceNotify(std::string socket) : socket_{std::move(socket)} {}
  void say(std::string_view what) const;

  const std::string socket_; ///< a path, or '@' and an abstract name; empty: no service manager
};

} // namespace vmemfs
