// SPDX-License-Identifier: MIT
// Why the last command failed, kept for a later read: a shell reports an errno and closes the file.
#pragma once

#include "util/mutex.h"
#include "vm/vm_events.h"

#include <chrono>
#include <string>
#include <utility>

namespace vmemfs {

/// Of one file, shared by its handles. Thread-safe.
class LastFailure {
public:
  void set(std::string text) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    error_ = {std::move(text), std::chrono::system_clock::now()};
  }
  [[nodiscard]] LastError get() const EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    return error_;
  }

private:
  mutable Mutex mutex_;
  LastError error_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
