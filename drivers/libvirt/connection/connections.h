// SPDX-License-Identifier: MIT
// The connections of one mount to libvirt daemons: at most one per URI, shared by all domains behind it.
#pragma once

#include "core/error.h"
#include "driver/driver_runtime.h"
#include "drivers/libvirt/connection/connection.h"
#include "drivers/libvirt/connection/event_loop.h"
#include "util/mutex.h"

#include <map>
#include <memory>
#include <string>

namespace vmemfs::libvirt {

/// Thread-safe. Its connections keep it.
class Connections final : public DriverRuntime, public std::enable_shared_from_this<Connections> {
public:
  /// Changes the environment: create the first one of a process before there are threads.
  Connections();

  /// The connection of this URI; if `uri` is empty, the one that libvirt's own rules choose
  /// (libvirt.org/uri.html). Does not wait. no_memory: no thread could be created.
  [[nodiscard]] Result<std::shared_ptr<Connection>> to(const std::string& uri);

private:
  /// If a connection is released while it is still being opened, which may never end, its keeper stays, and
  /// the next user of that URI gets the same keeper.
  struct Known {
    std::weak_ptr<Connection> connection;
    std::weak_ptr<ConnectionKeeper> keeper;
  };

  Mutex mutex_;
  std::shared_ptr<EventLoop> loop_ GUARDED_BY(mutex_); ///< null until the first connection
  std::map<std::string, Known> by_uri_ GUARDED_BY(mutex_);
};

} // namespace vmemfs::libvirt
