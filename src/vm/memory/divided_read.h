// SPDX-License-Identifier: MIT
// A large batch of pieces, read by two threads.
#pragma once

#include "driver/driver.h"
#include "util/mutex.h"
#include "vm/vm_jobs.h"

#include <cstddef>
#include <memory>
#include <span>

namespace vmemfs {

/// The pieces of one batch, of which each thread takes the next few until none is left: if no thread is free
/// to help, the reader does all of it. Thread-safe.
class DividedRead {
public:
  /// Driver::read() for these pieces, with a thread of the prefetch worker helping if that pays: for many
  /// bytes or pieces of a driver to which a call costs little.
  static void read(Driver& driver, const VmJobs& jobs, std::span<ReadPiece> pieces);

  /// Less is read before another thread has begun. A piece counts as a page at least.
  static constexpr std::size_t kMinBytes = std::size_t{1} << 20U;

private:
  DividedRead(Driver& driver, std::span<ReadPiece> pieces) : driver_{driver}, left_{pieces} {}

  [[nodiscard]] std::span<ReadPiece> take() EXCLUDES(mutex_);
  void work() EXCLUDES(mutex_);
  void wait() EXCLUDES(mutex_);

  Driver& driver_;
  Mutex mutex_; ///< not held while memory is read; leaf
  Condition done_;
  std::span<ReadPiece> left_ GUARDED_BY(mutex_); ///< a helper that finds none must not touch the pieces
  std::size_t reading_ GUARDED_BY(mutex_) = 0;   ///< threads
};

} // namespace vmemfs
