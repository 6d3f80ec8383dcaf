// SPDX-License-Identifier: MIT
// Layout of a memory image as a file: bytes that the format adds, and ranges of guest memory.
#pragma once

#include "core/gpa.h"
#include "core/memory_map.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs {

/// The ranges that an image has: all memory below the end of main memory, sorted; adjacent regions are one
/// range.
[[nodiscard]] std::vector<GpaRange> image_ranges(const MemoryMap& map);

/// Total size of the ranges.
[[nodiscard]] std::uint64_t bytes_of(std::span<const GpaRange> ranges);

/// Parts that follow one another without a gap. Not thread-safe while it is built.
class ImageLayout {
public:
  enum class Source : unsigned char {
    made,  ///< bytes of the format, such as headers
    guest, ///< guest memory
  };
  struct Part {
    std::uint64_t begin; ///< in the file
    std::uint64_t end;   ///< in the file, exclusive
    Source source;
    std::uint64_t source_begin; ///< position in the made bytes, or guest physical address

    [[nodiscard]] std::uint64_t size() const { return end - begin; }
  };

  /// Appends a part; one of size 0 has no effect.
  void add_made(std::uint64_t bytes);
  void add_guest(const GpaRange& range);

  /// From the one that has the byte at `offset`; empty past the end.
  [[nodiscard]] std::span<const Part> parts_from(std::uint64_t offset) const;
  [[nodiscard]] std::uint64_t size() const { return parts_.empty() ? 0 : parts_.back().end; }
  [[nodiscard]] std::uint64_t made_bytes() const { return made_bytes_; }

private:
  std::vector<Part> parts_;
  std::uint64_t made_bytes_ = 0;
};

} // namespace vmemfs
