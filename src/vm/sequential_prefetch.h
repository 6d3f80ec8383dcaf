// Fetches what a reader from front to back is going to ask for next, while it still takes what it has.
//
// For memory that stands and costs about as much to fetch as to answer with: two CPUs then share the work
// that one would do in turn. Where pages cost much more, the page cache reads ahead instead; where memory may
// change, nothing may be fetched before it is asked for.
#pragma once

#include "vm/memory_view.h"
#include "vm/read_ahead.h"
#include "vm/read_scratch.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

namespace vmemfs {

/// One per VM: of several such readers at once the first one has it. Thread-safe. Holds at most one read's
/// bytes, and none after drop().
class SequentialPrefetch {
public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::size_t kMinSize = std::size_t{256} << 10U; ///< shorter reads gain nothing
  /// What was fetched is served for so long: a debugger's write into a guest that stands is no event.
  static constexpr std::chrono::milliseconds kMaxAge{50};

  /// A read that is to come, and the epoch in which it has to be fetched and served.
  struct Request {
    const ReadAhead* reader;
    std::uint64_t offset;
    std::size_t size;
    HolePolicy policy;
    std::uint64_t epoch;

    friend bool operator==(const Request&, const Request&) = default;
  };

  /// Has run() called on another thread, or never where everything ends.
  using Post = std::function<void()>;
  /// Reads all of the wish into scratch; false where that is not to be had.
  using Fetch = std::function<bool(const Request&, ReadScratch&)>;

  SequentialPrefetch(Post post, Fetch fetch) : post_{std::move(post)}, fetch_{std::move(fetch)} {}

  /// True: scratch has all of the wish. Waits where that is just being fetched.
  [[nodiscard]] bool take(const Request& request, ReadScratch& scratch);
  /// Has `request` fetched, unless something else is still under way.
  void begin(const Request& request);
  void run();
  /// Gives the memory back.
  void drop();

private:
  enum class State : unsigned char { idle, queued, fetching, ready };

  [[nodiscard]] bool is_stale() const { return Clock::now() - since_ > kMaxAge; }

  const Post post_;
  const Fetch fetch_;
  std::mutex mutex_; ///< guards what follows, but for the scratch while it is being fetched
  std::condition_variable changed_;
  State state_ = State::idle;
  bool unwanted_ = false; ///< what is being fetched is of no use any more
  Request request_{};
  Clock::time_point since_; ///< when fetching began, or was asked for
  std::unique_ptr<ReadScratch> scratch_;
};

} // namespace vmemfs
