// SPDX-License-Identifier: MIT
// Why the last command failed, kept for a later read: a shell reports an errno and closes the file.
#pragma once

#include "util/mutex.h"

#include <string>
#include <utility>

namespace vmemfs {

/// Of one file, shared by its handles. Thread-safe.
class LastFailure {
public:
  void set(std::string text) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    text_ = std::move(text);
  }
  /// Empty: none has failed.
  [[nodiscard]] std::string text() const EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    return text_;
  }

private:
  mutable Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
