// SPDX-License-Identifier: MIT
#include "fs/save/packed/memory_chunks.h"

#include <algorithm>
#include <utility>

namespace vmemfs {

MemoryChunks::MemoryChunks(std::vector<SourceRange> ranges) : ranges_{std::move(ranges)} {
  for (const SourceRange& range : ranges_) {
    first_.push_back(count_);
    count_ += (range.memory.size() + kMemoryChunk - 1) / kMemoryChunk;
    bytes_ += range.memory.size();
  }
}

MemoryChunk MemoryChunks::at(std::uint64_t index) const {
  const auto next = std::ranges::upper_bound(first_, index);
  const auto place = static_cast<std::size_t>(next - first_.begin()) - 1;
  const SourceRange& range = ranges_[place];
  const std::uint64_t before = (index - first_[place]) * kMemoryChunk;
  return {.range = range.memory,
          .begin = range.memory.begin + before,
          .offset = range.offset + before,
          .size =
              static_cast<std::size_t>(std::min<std::uint64_t>(kMemoryChunk, range.memory.size() - before))};
}

} // namespace vmemfs
