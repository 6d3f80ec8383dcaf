// Has fetched into the page cache what readers from front to back are going to ask for, while they take what
// they have.
//
// For drivers whose calls take long: a reader then waits for no more than it has asked for, and there always
// are calls under way. Where they are short, what is ahead goes along with the reader's own call instead (see
// CachedPages::plan_ahead()).
#pragma once

#include "core/gpa.h"
#include "util/worker.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

namespace vmemfs {

/// Thread-safe. Has no threads before the first wish.
class FetchAhead {
public:
  static constexpr std::size_t kPiece = std::size_t{1} << 20U; ///< a wish is fetched in pieces of that size
  static constexpr unsigned kAtOnce = 3;                       ///< pieces under way

  /// Fetches a range, if this still is the epoch. Called on threads of this class.
  using Fetch = std::function<void(GpaRange, std::uint64_t epoch)>;

  explicit FetchAhead(Fetch fetch) : fetch_{std::move(fetch)} {}

  /// Returns at once.
  void want(GpaRange range, std::uint64_t epoch);

private:
  [[nodiscard]] Worker* worker();

  const Fetch fetch_;
  std::mutex mutex_; ///< guards what follows
  bool failed_ = false;
  std::unique_ptr<Worker> worker_; ///< last: its jobs use the rest
};

} // namespace vmemfs
