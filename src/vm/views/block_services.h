// SPDX-License-Identifier: MIT
// Service of a VM's block files, by the kernel or by requests, as of when they were last opened; for `info`.
#pragma once

#include "util/mutex.h"
#include "vm/views/block_layout.h"

#include <map>
#include <string>
#include <utility>

namespace vmemfs {

/// Thread-safe, bounded.
class BlockServices {
public:
  void note(const std::string& name, std::string text) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    if (texts_.size() < kMaxNamedBlocks || texts_.contains(name)) {
      texts_[name] = std::move(text);
    }
  }
  /// By name of the file.
  [[nodiscard]] std::map<std::string, std::string> texts() const EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    return texts_;
  }

private:
  mutable Mutex mutex_;
  std::map<std::string, std::string> texts_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
