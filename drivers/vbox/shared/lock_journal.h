// SPDX-License-Identifier: MIT
// Note that this process holds the general lock of FDP, for who finds the lock after this process was killed.
//
// A client that is killed during a request leaves the lock taken for ever: others wait without end, and a
// guest that it paused could not be resumed. So a small file beside the object says whether its process has
// the lock, and a file lock, which the kernel drops with the process, whether that process lives. Only files
// of the same user count.
#pragma once

#include "core/error.h"
#include "drivers/vbox/shared/shared_object.h"
#include "util/unique_fd.h"

#include <optional>
#include <string>

namespace vmemfs::vbox {

/// Not thread-safe.
class LockJournal {
public:
  enum class Phase : unsigned char {
    idle,
    held,  ///< the lock was taken
    asked, ///< and a request was put
  };

  /// A new one, removed when it is destroyed. Without a file, if none can be made, it does nothing.
  explicit LockJournal(const SharedObject::Id& object);
  ~LockJournal();
  LockJournal(const LockJournal&) = delete;
  LockJournal& operator=(const LockJournal&) = delete;

  /// `held` after the lock was taken, `idle` before it is released: when in doubt, the lock is another's.
  void set(Phase phase) const;

  /// What a dead process of this user left behind; nullopt if none had the lock of `object`. The caller, and
  /// nobody else, has the lock then. Removes files that are not needed any more.
  [[nodiscard]] static std::optional<Phase> claim(const SharedObject::Id& object);

private:
  std::string path_;
  UniqueFd file_;
};

} // namespace vmemfs::vbox
