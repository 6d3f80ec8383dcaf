// SPDX-License-Identifier: MIT
// Detector of sequential reads of a file, with the size of the next prefetch.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// One per open file. Thread-safe: readers that mix on one file only make it guess worse.
class ReadAhead {
public:
  static constexpr std::size_t kMinWindow = std::size_t{128} << 10U;
  static constexpr std::size_t kMaxWindow = std::size_t{2} << 20U;
  static constexpr std::size_t kMaxBackgroundWindow = std::size_t{4} << 20U; ///< of next_background_range()
  static constexpr std::size_t kMinBackgroundRun = std::size_t{16}
                                                   << 10U; ///< min sequential bytes before the first

  /// Records a read of `size` bytes at `offset`.
  void note(std::uint64_t offset, std::size_t size) {
    const bool is_sequential = next_.exchange(offset + size, std::memory_order_relaxed) == offset;
    run_.store((is_sequential ? run_.load(std::memory_order_relaxed) : 0) + size, std::memory_order_relaxed);
    if (!is_sequential) {
      window_.store(0, std::memory_order_relaxed);
      prefetched_to_.store(0, std::memory_order_relaxed);
    } else if (window_.load(std::memory_order_relaxed) == 0) {
      window_.store(std::clamp(size, kMinWindow, kMaxWindow), std::memory_order_relaxed);
    }
  }

  /// The last recorded read began at the end of the one before it.
  [[nodiscard]] bool is_sequential() const { return window_.load(std::memory_order_relaxed) != 0; }

  /// Number of bytes after the last recorded read that are worth fetching with it; grows with each read.
  [[nodiscard]] std::size_t take_window() {
    const std::size_t window = window_.load(std::memory_order_relaxed);
    window_.store(std::min(2 * window, kMaxWindow), std::memory_order_relaxed);
    return window;
  }

  struct ByteRange {
    std::uint64_t offset;
    std::size_t size;
  };

  /// The range worth fetching in the background after the last recorded read, which ended at `end`, and
  /// after the ranges returned before; of size 0 while enough is pending, or if too few bytes were read
  /// sequentially (a few words of a structure do not justify long calls). `max_bytes`: its max size.
  [[nodiscard]] ByteRange next_background_range(std::uint64_t end, std::size_t max_bytes) {
    const std::uint64_t run = run_.load(std::memory_order_relaxed);
    const std::size_t window =
        run < kMinBackgroundRun ? 0 : std::min({window_.load(std::memory_order_relaxed), max_bytes, 4 * run});
    const std::uint64_t from = std::max(prefetched_to_.load(std::memory_order_relaxed), end);
    if (window == 0 || from - end > window / 2) {
      return {from, 0};
    }
    window_.store(std::min(2 * window, kMaxBackgroundWindow), std::memory_order_relaxed);
    prefetched_to_.store(from + window, std::memory_order_relaxed);
    return {from, window};
  }

private:
  std::atomic<std::uint64_t> next_{~std::uint64_t{0}};
  std::atomic<std::size_t> window_{0};
  std::atomic<std::uint64_t> run_{0};           ///< bytes read sequentially
  std::atomic<std::uint64_t> prefetched_to_{0}; ///< end of the last next_background_range()
};

} // namespace vmemfs
