// SPDX-License-Identifier: MIT
// Counters of the operations on one VM through the mount, for `.vmemfs/stats`.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace vmemfs {

/// Monotonic. Thread-safe, without an order between counters.
class Counter {
public:
  void add(std::uint64_t more = 1) { value_.fetch_add(more, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t load() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

/// Number of operations, and of failed ones.
struct OperationCounter {
  Counter all;
  Counter failed;

  /// Counts `result` and returns it.
  template <typename R> R counted(R result) {
    all.add();
    if (!result) {
      failed.add();
    }
    return result;
  }
};

/// Durations by bucket: at most 1 us, 4 us, 16 us, ... 4.19 s, and longer.
class DurationHistogram {
public:
  static constexpr std::size_t kBounds = 12;

  [[nodiscard]] static constexpr std::chrono::microseconds bound(std::size_t bucket) {
    return std::chrono::microseconds{std::int64_t{1} << (2 * bucket)};
  }

  void note(std::chrono::nanoseconds duration) {
    std::size_t bucket = 0;
    while (bucket < kBounds && duration > bound(bucket)) {
      ++bucket;
    }
    buckets_[bucket].add();
    sum_ns_.add(static_cast<std::uint64_t>(duration.count()));
  }

  /// Not cumulative; the bucket kBounds has the durations above every bound.
  [[nodiscard]] std::uint64_t in_bucket(std::size_t bucket) const { return buckets_[bucket].load(); }
  [[nodiscard]] std::chrono::nanoseconds sum() const {
    return std::chrono::nanoseconds{static_cast<std::int64_t>(sum_ns_.load())};
  }

private:
  std::array<Counter, kBounds + 1> buckets_;
  Counter sum_ns_;
};

/// One per VM, in cache lines of its own. Members that reads change come first, in one line.
struct alignas(64) VmCounters {
  OperationCounter reads; ///< of the memory files
  Counter read_bytes;
  OperationCounter writes; ///< of the memory files
  Counter written_bytes;
  OperationCounter register_reads;
  OperationCounter register_writes;
  OperationCounter control_commands;
  alignas(64) DurationHistogram read_duration; ///< until the kernel has received the answer
};

} // namespace vmemfs
