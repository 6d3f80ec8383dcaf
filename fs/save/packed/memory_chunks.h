// SPDX-License-Identifier: MIT
// Pieces in which the memory of an image is packed.
#pragma once

#include "core/gpa.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vmemfs {

/// Guest memory in the file that is saved.
struct SourceRange {
  GpaRange memory;      ///< not empty
  std::uint64_t offset; ///< in the file
};

struct MemoryChunk {
  GpaRange range;       ///< the whole range that it is a part of
  Gpa begin;            ///< its first byte
  std::uint64_t offset; ///< in the file
  std::size_t size;     ///< in bytes; kMemoryChunk, but for the last one of a range
};

inline constexpr std::size_t kMemoryChunk = std::size_t{1} << 20U;

/// The ranges of memory, each cut from its begin. Immutable.
class MemoryChunks {
public:
  /// The ranges are sorted, both by address and by offset.
  explicit MemoryChunks(std::vector<SourceRange> ranges);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; } ///< of all memory
  [[nodiscard]] const std::vector<SourceRange>& ranges() const { return ranges_; }
  /// `index` is below count().
  [[nodiscard]] MemoryChunk at(std::uint64_t index) const;

private:
  std::vector<SourceRange> ranges_;
  std::vector<std::uint64_t> first_; ///< index of the first chunk of each range
  std::uint64_t count_ = 0;
  std::uint64_t bytes_ = 0;
};

} // namespace vmemfs
