// SPDX-License-Identifier: MIT
#include "fs/save/image/unreadable_ranges.h"

#include <iterator>

namespace vmemfs {

void UnreadableRanges::add(ByteRange range) {
  const MutexLock lock{mutex_};
  bytes_ += range.end - range.begin;
  const auto next = ranges_.upper_bound(range.begin);
  const auto before = next == ranges_.begin() ? ranges_.end() : std::prev(next);
  const bool joins_before = before != ranges_.end() && before->second == range.begin;
  const bool joins_next = next != ranges_.end() && next->first == range.end;
  if (!joins_before && !joins_next && ranges_.size() >= kMaxListed) {
    ++not_listed_;
    return;
  }
  const std::uint64_t end = joins_next ? next->second : range.end;
  if (joins_next) {
    ranges_.erase(next);
  }
  if (joins_before) {
    before->second = end;
  } else {
    ranges_.emplace(range.begin, end);
  }
}

std::vector<ByteRange> UnreadableRanges::listed() const {
  const MutexLock lock{mutex_};
  std::vector<ByteRange> all;
  all.reserve(ranges_.size());
  for (const auto& [begin, end] : ranges_) {
    all.push_back({begin, end});
  }
  return all;
}

std::uint64_t UnreadableRanges::bytes() const {
  const MutexLock lock{mutex_};
  return bytes_;
}

std::uint64_t UnreadableRanges::not_listed() const {
  const MutexLock lock{mutex_};
  return not_listed_;
}

} // namespace vmemfs
