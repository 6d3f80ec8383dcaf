// SPDX-License-Identifier: MIT
// The event loop of libvirt: a thread that receives events of domains and keeps connections alive.
#pragma once

#include "core/error.h"

#include <atomic>
#include <memory>
#include <thread>

namespace vmemfs::libvirt {

/// The thread runs as long as this exists.
class EventLoop {
public:
  /// The one of this process, because libvirt has one loop per process; created by the first of its users.
  /// Call it before a connection is opened. From then on libvirt prints no errors itself. source_failed:
  /// libvirt cannot be initialized. no_memory: no thread could be created. Thread-safe.
  static Result<std::shared_ptr<EventLoop>> shared();

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

private:
  void run();

  std::atomic<bool> stop_{false};
  int wake_; ///< a timer, to end the loop
  std::thread thread_;
};

} // namespace vmemfs::libvirt
