// SPDX-License-Identifier: MIT
// Bookkeeping of the requested pauses and holds of a VM.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>

namespace vmemfs {

/// Number of a hold; never used twice for one VM.
using HoldId = std::uint64_t;

enum class PauseKind : unsigned char {
  plain, ///< until somebody resumes, or this mount ends
  keep,  ///< until somebody resumes
  timed, ///< until its time is over
};

/// Not thread-safe.
class PauseLedger {
public:
  using Clock = std::chrono::steady_clock;

  /// vmemfs has stopped the VM. Holds may be entered while somebody else's pause lasts; they end nothing.
  void set_by_us() {
    by_us_ = true;
    by_driver_ = false;
  }
  /// The driver has stopped it without a request; it stays so until the first one, or until it is detached.
  void set_by_driver() { by_us_ = by_driver_ = true; }
  [[nodiscard]] bool by_us() const { return by_us_; }
  [[nodiscard]] bool by_driver() const { return by_driver_; }

  void add(PauseKind kind, Clock::time_point until = {}) {
    by_driver_ = false;
    plain_ = plain_ || kind == PauseKind::plain || kind == PauseKind::keep;
    keep_ = keep_ || kind == PauseKind::keep;
    if (kind == PauseKind::timed && (!until_ || *until_ < until)) {
      until_ = until;
    }
  }
  [[nodiscard]] HoldId add_hold() {
    by_driver_ = false;
    return *holds_.insert(next_hold_++).first;
  }
  void end_hold(HoldId hold) { holds_.erase(hold); }

  /// Removes a timed pause that is over.
  void expire(Clock::time_point now) {
    if (until_ && *until_ <= now) {
      until_.reset();
    }
  }
  /// The VM runs: no pause or hold exists any more.
  void clear() {
    by_us_ = by_driver_ = plain_ = keep_ = false;
    until_.reset();
    holds_.clear();
  }

  [[nodiscard]] bool any() const { return by_driver_ || plain_ || until_ || !holds_.empty(); }
  [[nodiscard]] bool keep() const { return keep_; }
  [[nodiscard]] std::size_t holds() const { return holds_.size(); }
  [[nodiscard]] bool has_hold(HoldId hold) const { return holds_.contains(hold); }
  [[nodiscard]] std::optional<Clock::time_point> until() const { return until_; }

private:
  bool by_us_ = false;
  bool by_driver_ = false;
  bool plain_ = false;
  bool keep_ = false;
  std::optional<Clock::time_point> until_; ///< end of the timed pause that ends last
  std::set<HoldId> holds_;
  HoldId next_hold_ = 1;
};

} // namespace vmemfs
