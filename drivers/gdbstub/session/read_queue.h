// SPDX-License-Identifier: MIT
// Queue of reads that share one link: the thread whose turn it is carries out all that wait.
//
// So the link does not run empty between the reads of a prefetch, and no thread is needed for it. A read that
// comes meanwhile joins them, as long as that of the thread itself is not finished.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "drivers/gdbstub/session/memory_reader.h"
#include "util/mutex.h"

#include <chrono>
#include <functional>
#include <list>
#include <span>

namespace vmemfs::gdbstub {

/// Thread-safe.
class ReadQueue {
public:
  using Clock = std::chrono::steady_clock;
  /// Carries out reads. If it fails, it has taken none.
  using Carry = std::function<Result<void>(ReadSource&)>;

  /// Has `pieces` read, by `carry` on this thread or by that of another thread. busy: neither began until
  /// `deadline`. Not for a thread with a WorkLimit, which would end reads of others.
  [[nodiscard]] Result<void> read(std::span<ReadPiece> pieces, Clock::time_point deadline, const Carry& carry)
      EXCLUDES(mutex_);

private:
  enum class State : unsigned char { waiting, taken, done };
  struct Entry : SharedRead {
    State state = State::waiting; ///< guarded by mutex_
  };
  class Turn;
  class Listed;

  Mutex mutex_; ///< leaf
  Condition changed_;
  bool busy_ GUARDED_BY(mutex_) = false;         ///< some thread has its turn
  std::list<Entry*> entries_ GUARDED_BY(mutex_); ///< of all threads that are in read()
};

} // namespace vmemfs::gdbstub
