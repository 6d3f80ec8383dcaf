// SPDX-License-Identifier: MIT
#include "vm/vm_events.h"

#include "util/log.h"

#include <utility>

namespace vmemfs {

void VmEvents::report(EventKind kind, std::string detail) const {
  if (log_ != nullptr) {
    log_->append(kind, vm_, std::move(detail));
  }
}

void VmEvents::note(const Error& error) {
  log::warning("{}: {}", vm_, error.message());
  {
    const MutexLock lock{mutex_};
    last_error_ = {error.message(), std::chrono::system_clock::now()};
  }
  report(EventKind::error, error.message());
}

LastError VmEvents::last_error() const {
  const MutexLock lock{mutex_};
  return last_error_;
}

} // namespace vmemfs
