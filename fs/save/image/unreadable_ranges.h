// SPDX-License-Identifier: MIT
// Ranges of an image that could not be read.
#pragma once

#include "util/mutex.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace vmemfs {

struct ByteRange {
  std::uint64_t begin;
  std::uint64_t end;

  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

/// Thread-safe. Lists a bounded number of ranges; the others are only counted.
class UnreadableRanges {
public:
  static constexpr std::size_t kMaxListed = 4096;

  /// Not empty, and not added before.
  void add(ByteRange range);

  [[nodiscard]] std::vector<ByteRange> listed() const; ///< in order; adjacent ones are one
  [[nodiscard]] std::uint64_t bytes() const;           ///< of all
  [[nodiscard]] std::uint64_t not_listed() const;      ///< calls of add() whose range is not listed

private:
  mutable Mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> ranges_ GUARDED_BY(mutex_); ///< end by begin
  std::uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t not_listed_ GUARDED_BY(mutex_) = 0;
};

} // namespace vmemfs
