// SPDX-License-Identifier: MIT
// Copy of an image from a mount to an output, with its SHA-256.
#pragma once

#include "core/error.h"
#include "fs/save/image/image_output.h"
#include "fs/save/image/memory_source.h"
#include "fs/save/image/sha256.h"
#include "fs/save/image/unreadable_ranges.h"
#include "util/mutex.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

namespace vmemfs {

/// Thread-safe.
struct CopyProgress {
  std::atomic<std::uint64_t> size = 0; ///< of the image; 0 until it is known
  std::atomic<std::uint64_t> done = 0; ///< bytes of the image that are finished, holes included
  std::atomic<std::uint64_t> data = 0; ///< bytes that were read
};

/// Readers take chunks of 1 MiB in turn: each reads its chunk and, if the output is a file, writes it there.
/// The thread that calls run() takes finished chunks in the order of the file, hashes them, and writes a
/// stream. Memory is bounded: if hashing is slower than reading, chunks of a file are read back from it, so
/// that no reader, and no paused guest, waits for the hash; readers of a stream wait.
class ImageCopy {
public:
  static constexpr std::size_t kChunk = std::size_t{1} << 20U;
  static constexpr std::size_t kSpareChunks = 8;                   ///< buffers besides those of the readers
  static constexpr std::size_t kMaxBehind = std::size_t{1} << 20U; ///< chunks between reading and hashing

  using Output = std::variant<SparseOutput, StreamOutput>;
  struct Parts {
    MemorySource& source;
    UnreadableRanges& unreadable;
    CopyProgress& progress;
    std::function<void()> all_read; ///< called once by a reader, when all has been read without a failure
  };

  ImageCopy(Parts parts, Output output, unsigned threads);
  ~ImageCopy() = default;
  ImageCopy(const ImageCopy&) = delete;
  ImageCopy& operator=(const ImageCopy&) = delete;

  /// Once. Returns the SHA-256; interrupted: stopped.
  [[nodiscard]] Result<std::string> run(const std::stop_token& stop) EXCLUDES(claim_mutex_, mutex_);

private:
  using Buffer = std::vector<std::byte>;
  enum class State : unsigned char { reading, zeros, buffered, in_file };
  struct Chunk {
    State state = State::reading;
    Buffer* buffer = nullptr; ///< if buffered
  };
  struct Claim {
    std::uint64_t index;
    bool has_data;
  };

  [[nodiscard]] std::uint64_t begin_of(std::uint64_t index) const { return index * kChunk; }
  [[nodiscard]] std::size_t size_of(std::uint64_t index) const;
  [[nodiscard]] const SparseOutput* file() const { return std::get_if<SparseOutput>(&output_); }

  // Readers.
  void read_chunks(const std::stop_token& stop) EXCLUDES(claim_mutex_, mutex_);
  [[nodiscard]] std::optional<Claim> claim(const std::stop_token& stop) EXCLUDES(claim_mutex_, mutex_);
  [[nodiscard]] Result<void> fill(std::uint64_t index, Buffer& buffer);
  [[nodiscard]] Buffer* take_buffer(const std::stop_token& stop) EXCLUDES(mutex_);
  [[nodiscard]] Buffer* finish(std::uint64_t index, Buffer* buffer) EXCLUDES(mutex_);
  void fail_with(Error error) EXCLUDES(mutex_);
  template <typename Action> void guarded(Action action) EXCLUDES(mutex_);
  void leave() EXCLUDES(mutex_);

  // The caller of run().
  [[nodiscard]] Result<void> consume_all(const std::stop_token& stop) EXCLUDES(mutex_);
  [[nodiscard]] Result<Chunk> next_chunk(const std::stop_token& stop) EXCLUDES(mutex_);
  [[nodiscard]] Result<std::span<const std::byte>> bytes_of(std::uint64_t index, Chunk chunk);
  void give_back(Chunk chunk) EXCLUDES(mutex_);

  const Parts parts_;
  const Output output_;
  const unsigned threads_;
  const std::uint64_t chunks_;
  std::vector<std::unique_ptr<Buffer>> buffers_; ///< set before other threads have it
  Buffer read_back_;                             ///< of the caller of run()
  std::optional<Sha256> hash_;                   ///< likewise

  Mutex claim_mutex_ ACQUIRED_BEFORE(mutex_); ///< held while the source is asked for holes
  std::uint64_t next_claim_ GUARDED_BY(claim_mutex_) = 0;

  Mutex mutex_; ///< not held while anything is read, written or hashed
  StoppableCondition changed_;
  std::deque<Chunk> window_ GUARDED_BY(mutex_); ///< from the next one to consume to the last one claimed
  std::uint64_t next_consumed_ GUARDED_BY(mutex_) = 0;
  std::vector<Buffer*> free_ GUARDED_BY(mutex_);
  unsigned reading_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> error_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
