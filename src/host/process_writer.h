// Writes into the memory of another process.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

namespace vmemfs {

/// Thread-safe. Opens /proc/PID/mem once, on first use: that descriptor is of this very address space,
/// so that neither a later process of the same number nor another program of the same process can be hit.
///
/// The kernel lets it write where the process itself may only read (a private copy of a file): what may
/// be written is for the caller to know.
class ProcessWriter {
public:
  explicit ProcessWriter(std::shared_ptr<const Process> process) : process_{std::move(process)} {}

  struct Outcome {
    std::size_t done = 0;         ///< bytes from the start that were written
    std::optional<Error> failure; ///< why done is less than all
  };

  /// permission: the text names the remedy. vm_gone: the process has ended or runs another program.
  /// source_failed: nothing is mapped there, or its page can't be had.
  [[nodiscard]] Outcome write(Hva hva, std::span<const std::byte> bytes);

private:
  Result<int> file();

  const std::shared_ptr<const Process> process_;
  std::mutex mutex_; ///< guards the opening of file_
  UniqueFd file_;
};

} // namespace vmemfs
