// SPDX-License-Identifier: MIT
// Copy of a guest's memory from a mount to an image whose memory is packed.
#pragma once

#include "core/error.h"
#include "fs/save/image/image_copy.h"
#include "fs/save/image/memory_source.h"
#include "fs/save/image/unreadable_ranges.h"
#include "fs/save/packed/image_writer.h"
#include "fs/save/packed/memory_chunks.h"
#include "util/mutex.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace vmemfs {

/// Readers take chunks of 1 MiB in turn; each reads its chunk and packs it. The thread that calls run()
/// writes packed chunks in their order. Memory is bounded, and allocated at the begin: readers wait if
/// writing is slower. A guest that is paused meanwhile waits for packing too, but not for the last chunks.
class PackedCopy {
public:
  static constexpr std::size_t kSpareChunks = 8; ///< packed ones, besides one of each reader

  struct Parts {
    MemorySource& source;
    const MemoryChunks& chunks; ///< not none
    ImageWriter& writer;
    UnreadableRanges& unreadable;   ///< gets guest physical addresses
    CopyProgress& progress;         ///< its size is that of the memory
    std::function<void()> all_read; ///< called once by a reader, when all has been read without a failure
  };

  PackedCopy(Parts parts, unsigned threads);
  ~PackedCopy() = default;
  PackedCopy(const PackedCopy&) = delete;
  PackedCopy& operator=(const PackedCopy&) = delete;

  /// Once. interrupted: stopped.
  [[nodiscard]] Result<WrittenImage> run(const std::stop_token& stop) EXCLUDES(claim_mutex_, mutex_);

private:
  struct Claim {
    std::uint64_t index;
    bool has_data;
  };
  using Buffer = std::vector<std::byte>;

  [[nodiscard]] std::size_t slot_of(std::uint64_t index) const {
    return static_cast<std::size_t>(index % slots_.size());
  }

  // Readers.
  void read_chunks(const std::stop_token& stop) EXCLUDES(claim_mutex_, mutex_);
  [[nodiscard]] std::optional<Claim> claim(const std::stop_token& stop) EXCLUDES(claim_mutex_, mutex_);
  [[nodiscard]] Result<void> read(const MemoryChunk& chunk, std::span<std::byte> memory);
  void count_read() EXCLUDES(mutex_);
  void finish(std::uint64_t index, std::size_t packed_bytes) EXCLUDES(mutex_);
  void fail_with(Error error) EXCLUDES(mutex_);
  template <typename Action> void guarded(Action action) EXCLUDES(mutex_);

  // The caller of run().
  [[nodiscard]] Result<void> write_all(const std::stop_token& stop) EXCLUDES(mutex_);
  [[nodiscard]] Result<std::span<const std::byte>> packed_chunk(std::uint64_t index,
                                                                const std::stop_token& stop) EXCLUDES(mutex_);
  void free_slot(std::uint64_t index) EXCLUDES(mutex_);

  const Parts parts_;
  const unsigned threads_;
  std::vector<Buffer> slots_; ///< packed chunks: the reader's that claimed it, then the writer's

  Mutex claim_mutex_ ACQUIRED_BEFORE(mutex_); ///< held while the source is asked for holes
  std::uint64_t next_claim_ GUARDED_BY(claim_mutex_) = 0;

  Mutex mutex_; ///< not held while anything is read, packed or written
  StoppableCondition changed_;
  std::vector<std::size_t> packed_bytes_ GUARDED_BY(mutex_); ///< of each slot; 0: not packed yet
  std::uint64_t next_written_ GUARDED_BY(mutex_) = 0;
  std::uint64_t chunks_read_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> error_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
