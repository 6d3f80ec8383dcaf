// SPDX-License-Identifier: MIT
// The place for a driver's listener: Driver::set_listener() and the calls of the listener.
#pragma once

#include "driver/driver.h"
#include "util/mutex.h"

namespace vmemfs {

/// Thread-safe.
class ListenerSlot {
public:
  /// See Driver::set_listener(). Waits for a call of the former listener.
  void set(VmListener* listener) {
    const MutexLock lock{mutex_};
    listener_ = listener;
  }

  /// Calls the listener, if there is one. The caller holds no lock that Driver::gone() takes.
  void emit(VmEvent event) {
    const MutexLock lock{mutex_};
    if (listener_ != nullptr) {
      listener_->on_vm_event(event);
    }
  }

private:
  Mutex mutex_; ///< held while the listener is called
  VmListener* listener_ GUARDED_BY(mutex_) = nullptr;
};

} // namespace vmemfs
