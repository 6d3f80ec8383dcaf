// SPDX-License-Identifier: MIT
// Count of the round trips that a client of a GDB server has waited for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string_view>

namespace vmemfs::test {

/// Round trips of a client that sends packets of GDB's protocol without acknowledgements. Each request is a
/// step later than the last reply that the client had when it sent it, and a reply is of its request's step.
/// So requests that are under way together are one round trip, however long they take. Thread-safe.
class RoundTrips {
public:
  /// Called when bytes of the client arrive.
  void requested(std::string_view bytes) {
    const std::scoped_lock lock{mutex_};
    const auto packets = static_cast<std::size_t>(std::ranges::count(bytes, '$'));
    steps_.insert(steps_.end(), packets, answered_ + 1);
    last_ = packets > 0 ? answered_ + 1 : last_;
  }
  /// Called before bytes of the server are passed on.
  void replied(std::string_view bytes) {
    const std::scoped_lock lock{mutex_};
    for (auto packets = std::ranges::count(bytes, '$'); packets > 0 && !steps_.empty(); --packets) {
      answered_ = std::max(answered_, steps_.front());
      steps_.pop_front();
    }
  }
  [[nodiscard]] unsigned count() const {
    const std::scoped_lock lock{mutex_};
    return last_;
  }

private:
  mutable std::mutex mutex_;
  std::deque<unsigned> steps_; ///< of the requests without a reply
  unsigned answered_ = 0;      ///< step of the last reply
  unsigned last_ = 0;          ///< step of the last request
};

} // namespace vmemfs::test
