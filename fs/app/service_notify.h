// SPDX-License-Identifier: MIT
// Telling the service manager how far we are (sd_notify(3), the protocol of it).
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// Says nothing where no service manager listens. Usable from any thread.
class ServiceNotify {
public:
  /// Takes NOTIFY_SOCKET out of the environment, so that what we start does not speak for us. Before any
  /// thread is made.
  static ServiceNotify from_environment();

  void ready() const { say("READY=1"); }
  void stopping() const { say("STOPPING=1"); }

private:
  explicit ServiceNotify(std::string socket) : socket_{std::move(socket)} {}
  void say(std::string_view what) const;

  const std::string socket_; ///< a path, or '@' and an abstract name; empty: nobody listens
};

} // namespace vmemfs
