// SPDX-License-Identifier: MIT
// The place for a driver's listener: Driver::set_listener() and the calls of the listener.
#pragma once

#include "driver/driver.h"

#include <mutex>

namespace vmemfs {

/// Thread-safe.
class ListenerSlot {
public:
  /// See Driver::set_listener(). Waits for a call of the former listener.
  void set(VmListener* listener) {
    const std::scoped_lock lock{mutex_};
    listener_ = listener;
  }

  /// Calls the listener, if there is one. The caller holds no lock that Driver::gone() takes.
  void emit(VmEvent event) {
    const std::scoped_lock lock{mutex_};
    if (listener_ != nullptr) {
      listener_->on_vm_event(event);
    }
  }

private:
  std::mutex mutex_; ///< held while the listener is called
  VmListener* listener_ = nullptr;
};

} // namespace vmemfs
