// What was done with one VM through the mount, counted for `.vmemfs/stats`.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace vmemfs {

/// Only ever goes up. Thread-safe, without an order between counters.
class Counter {
public:
  void add(std::uint64_t more = 1) { value_.fetch_add(more, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t load() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

/// How often something was tried, and how often in vain.
struct OperationCounter {
  Counter all;
  Counter failed;

  /// Counts what came to `result`, and gives it back.
  template <typename R> R counted(R result) {
    all.add();
    if (!result) {
      failed.add();
    }
    return result;
  }
};

/// How long something took: how often at most 1 us, 4 us, 16 us, ... 4.19 s, and longer.
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

  /// Not those of lower buckets; the one at kBounds has what took longer than every bound.
  [[nodiscard]] std::uint64_t in_bucket(std::size_t bucket) const { return buckets_[bucket].load(); }
  [[nodiscard]] std::chrono::nanoseconds sum() const {
    return std::chrono::nanoseconds{static_cast<std::int64_t>(sum_ns_.load())};
  }

private:
  std::array<Counter, kBounds + 1> buckets_;
  Counter sum_ns_;
};

/// One of these a VM, in cache lines of its own. What reads change comes first, in one line.
struct alignas(64) VmCounters {
  OperationCounter reads; ///< of the memory files
  Counter read_bytes;
  OperationCounter writes; ///< of the memory files
  Counter written_bytes;
  OperationCounter register_reads;
  OperationCounter register_writes;
  OperationCounter control_commands;
  alignas(64) DurationHistogram read_duration; ///< until the kernel had the answer
};

} // namespace vmemfs
