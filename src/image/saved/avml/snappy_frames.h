// SPDX-License-Identifier: MIT
// Memory that is packed as streams of snappy's framing format (framing_format.txt), whose chunks of at most
// 64 KiB are unpacked one by one.
#pragma once

#include "image/saved/extent_builder.h"
#include "image/saved/saved_image.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs {

/// Thread-safe once all streams were added.
class SnappyFrames final : public ImageDecoder {
public:
  /// Max number of chunks, of 32 bytes here: 512 GiB of memory.
  static constexpr std::size_t kMaxChunks = std::size_t{1} << 23U;
  /// Max number of chunks without memory: each stream has one at its begin.
  static constexpr std::size_t kMaxSkipped = 2 * kMaxImageRanges;
  /// Of memory in a chunk that is not the last one of its range: writers fill 64 KiB.
  static constexpr std::uint32_t kMinPlain = 4096;

  struct Stream {
    std::uint64_t end = 0;  ///< its offset in the file, behind the last chunk that is whole
    std::uint64_t size = 0; ///< of the memory that these have; less than the range if it is cut or damaged
  };

  /// Adds the chunks of a stream that begins at this offset. The range lies above those that were added.
  /// nullopt: there would be too many chunks.
  [[nodiscard]] std::optional<Stream> add(const SavedFile& file, std::uint64_t offset, const GpaRange& range);

  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(const SavedFile& file, Gpa gpa,
                                                          std::span<std::byte> to) const override;

  /// A chunk is unpacked whole, and kept until the thread reads another one.
  [[nodiscard]] Cost cost() const override {
    return {std::chrono::microseconds{80}, std::chrono::microseconds{5}};
  }

private:
  struct Chunk {
    std::uint64_t begin = 0;  ///< the address of its first byte
    std::uint64_t offset = 0; ///< in the file, of its checksum, behind which its bytes are
    std::uint32_t stored = 0; ///< bytes in the file, without the checksum
    std::uint32_t plain = 0;  ///< bytes of memory
    bool packed = false;
  };

  [[nodiscard]] static std::optional<Chunk> chunk_at(const SavedFile& file, std::uint64_t offset,
                                                     std::uint32_t header);
  [[nodiscard]] static bool unpack(const SavedFile& file, const Chunk& chunk, std::span<std::byte> plain);

  /// The bytes of a chunk, until this thread unpacks another one of any image; empty: it is damaged.
  [[nodiscard]] std::span<const std::byte> plain_of(const SavedFile& file, const Chunk& chunk) const;

  static std::uint64_t next_id();

  const std::uint64_t id_ = next_id(); ///< no other object has or had it
  std::vector<Chunk> chunks_;          ///< sorted
  std::size_t skipped_ = 0;
};

} // namespace vmemfs
