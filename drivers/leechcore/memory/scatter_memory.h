// SPDX-License-Identifier: MIT
// Guest memory by scatter calls: a batch of pieces becomes calls of up to 16 MiB of whole pages.
#pragma once

#include "core/memory_map.h"
#include "driver/driver.h"
#include "drivers/leechcore/client/worker_client.h"
#include "util/timed_lock.h"

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace vmemfs::leechcore {

/// Thread-safe. Calls are made one after another, as a device does them; a reader waits for calls of others
/// for the time limit of one.
class ScatterMemory {
public:
  explicit ScatterMemory(std::unique_ptr<WorkerClient> client);

  /// See Driver::read(). A page that LeechCore does not give is a bad page.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map) EXCLUDES(calls_);
  /// See MemoryWriter::write(). The rest of eight aligned bytes that are written in part is read before.
  WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes, const MemoryMap& map) EXCLUDES(calls_);

  /// The worker has ended, and the VM with it. Takes no lock.
  [[nodiscard]] bool lost() const { return client_->lost(); }
  [[nodiscard]] pid_t worker() const { return client_->pid(); }

private:
  /// Bytes of one piece in one page of a call.
  struct Part {
    ReadPiece* piece;
    std::size_t at; ///< in the piece
    std::size_t slot;
    std::size_t offset; ///< in the page
    std::size_t size;
  };
  class Filler;
  /// One page of a write.
  struct Patch {
    Gpa page;
    std::size_t offset;
    std::span<const std::byte> bytes;
  };

  void take_parts() REQUIRES(calls_);
  /// Number of bytes written, up to the first page that failed.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> write_patches(std::span<const Patch> patches)
      REQUIRES(calls_);
  [[nodiscard]] tl::expected<void, ErrorKind> read_edges(std::span<const Patch> patches) REQUIRES(calls_);

  const std::unique_ptr<WorkerClient> client_;
  TimedLock calls_;
  std::vector<Part> parts_ GUARDED_BY(calls_);
  WorkerClient::Results results_ GUARDED_BY(calls_){};
  /// What the first and the last page of a write had before.
  std::array<std::array<std::byte, kPageSize>, 2> edges_ GUARDED_BY(calls_){};
};

} // namespace vmemfs::leechcore
