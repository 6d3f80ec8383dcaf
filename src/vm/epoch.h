// Until when what was read of a VM's memory still holds: the one place where that is decided.
//
// The number goes up whenever memory may have changed in a way that a cache could hide. A cache marks
// what it keeps with the number that was loaded before the reading began, and serves it only while that is
// still the number. Between two numbers the memory either *stands* (nothing can change it without a new
// number) or it may change at any time.
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

    friend bool operator==(const Value&, const Value&) = default;
  };

  [[nodiscard]] Value load() const { return unpack(packed_.load()); }

  /// From now on memory may change at any time. Call it before the guest may run.
  void may_change() {
    std::uint64_t now = packed_.load();
    while (!packed_.compare_exchange_weak(now, (now | kStable) + 1)) { // the next number, without the mark
    }
  }

  /// Something has just changed; whether memory stands is as before.
  void changed() { packed_.fetch_add(kStep); }

  /// Memory stands, as was found by asking at some time after `before` was loaded. Does nothing, and
  /// returns false, where the number has moved since: then the answer may be old.
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
