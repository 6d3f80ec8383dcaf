// SPDX-License-Identifier: MIT
// Cheap check of whether a process still runs the program that it ran at first.
//
// A process that executes a program loses all its threads but one, which then has the number of the first. So
// as long as any other thread of before exists, no program was executed, whatever else the process does. That
// thread is the witness. Without one, the process itself is examined.
#pragma once

#include "host/process_space.h"
#include "util/unique_fd.h"

#include <memory>
#include <utility>

namespace vmemfs {

/// Not thread-safe. Holds one descriptor once it was used.
class ProgramWitness {
public:
  explicit ProgramWitness(std::shared_ptr<const ProcessSpace> space) : space_{std::move(space)} {}

  /// False if the process has ended, or as ProcessSpace::seems_current(). Waits for nothing. With a witness
  /// one system call, a third of a microsecond; else some ten microseconds, in which it looks for one.
  [[nodiscard]] bool seems_current();

private:
  /// The oldest thread beside the first: the threads of a VMM that end soon begin late. Empty: there is none.
  [[nodiscard]] UniqueFd find_witness() const;

  const std::shared_ptr<const ProcessSpace> space_;
  UniqueFd witness_; ///< a file of the thread, which cannot be read once it has ended
};

} // namespace vmemfs
