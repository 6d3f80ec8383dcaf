// SPDX-License-Identifier: MIT
// State that all Xen domains of a mount share: notifications of ends, and the table of machine frames.
#pragma once

#include "core/error.h"
#include "driver/driver_runtime.h"
#include "drivers/xen/memory/machine_table.h"
#include "drivers/xen/state/domain_events.h"
#include "util/fd_watcher.h"
#include "util/mutex.h"

#include <memory>

namespace vmemfs::xen {

/// Holds nothing of Xen itself: what it gives exists as long as it is used. Thread-safe.
class XenRuntime final : public DriverRuntime {
public:
  /// Those of the mount's watcher, opened on first use.
  Result<std::shared_ptr<DomainEvents>> events(FdWatcher& watcher) EXCLUDES(mutex_);

  /// Mapped on first use.
  Result<std::shared_ptr<const MachineTable>> machine_table(xc_interface* control) EXCLUDES(mutex_);

private:
  Mutex mutex_;
  std::weak_ptr<DomainEvents> events_ GUARDED_BY(mutex_);
  std::weak_ptr<const MachineTable> table_ GUARDED_BY(mutex_);
};

} // namespace vmemfs::xen
