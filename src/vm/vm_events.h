// SPDX-License-Identifier: MIT
// Reports of one VM: its events, and the message of its last failed operation.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "vm/event_log.h"

#include <chrono>
#include <string>
#include <utility>

namespace vmemfs {

/// Why the last operation or command that failed did so; no text if none has failed.
struct LastError {
  std::string text;
  std::chrono::system_clock::time_point time;
};

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

  [[nodiscard]] LastError last_error() const;

private:
  void note(const Error& error) EXCLUDES(mutex_);

  EventLog* const log_;
  const std::string vm_;
  mutable Mutex mutex_; ///< leaf
  LastError last_error_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
