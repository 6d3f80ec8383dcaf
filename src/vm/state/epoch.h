// SPDX-License-Identifier: MIT
// Validity of cached guest memory: the VM's epoch.
//
// The number goes up whenever memory may have changed in a way that a cache could hide. A cache tags each
// entry with the number loaded before the read began, and serves the entry only while that number is
// current. Within an epoch, memory either is *stable* (it cannot change without a new number) or may change
// at any time.
#pragma once

#include <atomic>
#include <cstdint>

namespace vmemfs {

/// Thread-safe, without locks.
class Epoch {
public:
  struct Value {
    std::uint64_t number;
    bool stable;

    bool operator==(const Value&) const = default;
  };

  [[nodiscard]] Value load() const { return unpack(packed_.load()); }

  /// Memory may change at any time from now on. Call it before the guest may run.
  void may_change() {
    std::uint64_t now = packed_.load();
    while (!packed_.compare_exchange_weak(now, (now | kStable) + 1)) { // the next number, without the mark
    }
  }

  /// Memory has changed; whether it is stable stays as before.
  void changed() { packed_.fetch_add(kStep); }

  /// Marks memory as stable, which a query made after `before` was loaded has found. Does nothing and
  /// returns false if the number has changed since: the answer may be stale.
  bool try_mark_stable(Value before) {
    std::uint64_t expected = pack(before);
    return packed_.compare_exchange_strong(expected, ((expected | kStable) + 1) | kStable);
  }

private:
  static constexpr std::uint64_t kStable = 1; ///< the lowest bit; the number is above it
  static constexpr std::uint64_t kStep = 2;

  static constexpr Value unpack(std::uint64_t packed) { return {packed / kStep, (packed & kStable) != 0}; }
  static constexpr std::uint64_t pack(Value value) {
    return value.number * kStep + (value.stable ? kStable : 0);
  }

  std::atomic<std::uint64_t> packed_{kStep};
};

} // namespace vmemfs
