// SPDX-License-Identifier: MIT
// Writer to the memory of another process.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process.h"
#include "util/mutex.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

namespace vmemfs {

/// Thread-safe. Opens /proc/PID/mem once, on first use: the descriptor is bound to that address space, so
/// that neither a later process with the same pid nor another program in the same process can be written.
///
/// The kernel allows writes even if the process itself may only read (a private copy of a file): the caller
/// must check what may be written.
class ProcessWriter {
public:
  explicit ProcessWriter(std::shared_ptr<const Process> process) : process_{std::move(process)} {}

  struct Outcome {
    std::size_t done = 0;         ///< bytes from the start that were written
    std::optional<Error> failure; ///< why not all was written
  };

  /// permission: the text names the remedy. vm_gone: the process has ended or runs another program.
  /// source_failed: nothing is mapped there, or its page is not available.
  [[nodiscard]] Outcome write(Hva hva, std::span<const std::byte> bytes);

private:
  Result<int> file() EXCLUDES(mutex_);

  const std::shared_ptr<const Process> process_;
  Mutex mutex_;
  UniqueFd file_ GUARDED_BY(mutex_); ///< set once, so that its number is valid without the lock
};

} // namespace vmemfs
