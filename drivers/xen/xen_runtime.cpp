// SPDX-License-Identifier: MIT
#include "drivers/xen/xen_runtime.h"

namespace vmemfs::xen {

Result<std::shared_ptr<DomainEvents>> XenRuntime::events(FdWatcher& watcher) {
  const MutexLock lock{mutex_};
  if (auto events = events_.lock()) {
    return events;
  }
  auto events = DomainEvents::open(watcher);
  if (events) {
    events_ = *events;
  }
  return events;
}

Result<std::shared_ptr<const MachineTable>> XenRuntime::machine_table(xc_interface* control) {
  const MutexLock lock{mutex_};
  if (auto table = table_.lock()) {
    return table;
  }
  auto table = MachineTable::map(control);
  if (table) {
    table_ = *table;
  }
  return table;
}

} // namespace vmemfs::xen
