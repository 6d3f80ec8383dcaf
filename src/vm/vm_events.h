// SPDX-License-Identifier: MIT
// Reports of one VM: its events, and the message of its last failed operation.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "vm/event_log.h"

#include <string>
#include <utility>

namespace vmemfs {

/// Thread-safe.
class VmEvents {
public:
  /// `log` may be null, which records no events, and outlives this object. `vm`: name of the VM's directory.
  VmEvents(EventLog* log, std::string vm) : log_{log}, vm_{std::move(vm)} {}

  [[nodiscard]] const std::string& vm() const { return vm_; }

  void report(EventKind kind, std::string detail) const;

  /// Reports the result of an operation if it is a failure, and returns it.
  template <typename T> [[nodiscard]] Result<T> noted(Result<T> result) {
    if (!result) {
      note(result.error());
    }
    return result;
  }

  /// Message of the last failed operation; empty if there was none.
  [[nodiscard]] std::string last_error() const;

private:
  void note(const Error& error) EXCLUDES(mutex_);

  EventLog* const log_;
  const std::string vm_;
  mutable Mutex mutex_; ///< leaf
  std::string last_error_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
