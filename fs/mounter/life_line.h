// SPDX-License-Identifier: MIT
// Notice of the daemon's end that comes even if the daemon cannot end.
//
// A killed process keeps all its descriptors while one of its threads waits in the kernel for another
// filesystem, or while closing one of them does. So neither the end of a socket nor a pidfd report it. Its
// main thread gives up its memory before, and with it a robust lock in memory that is shared.
#pragma once

#include "core/error.h"

#include <pthread.h>

namespace vmemfs {

class LifeLine {
public:
  /// Holds the lock for the calling thread until that ends: call it on the main thread, before the fork. The
  /// memory stays for the life of both processes, because the kernel looks at it when they end.
  [[nodiscard]] static Result<LifeLine> hold();

  /// In the other process: returns when the holder has ended.
  void wait() const;

private:
  explicit LifeLine(pthread_mutex_t* lock) : lock_{lock} {}

  pthread_mutex_t* lock_; ///< in shared memory, never unlocked
};

} // namespace vmemfs
