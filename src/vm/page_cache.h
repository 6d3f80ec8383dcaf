// Pages of one VM's memory that were read while they could not change, or not long ago.
//
// A cache is made of shards, each with up to kShardPages frames of 4 KiB. A hit takes no lock: the reader
// finds the frame in its shard's index, pins it, and then looks whether it has the right page. Everything
// else (claiming, publishing, waiting) takes the shard's lock. Which page goes for a new one is decided by
// the time of its last use, exactly within a shard; a cache of up to kShardPages pages is one shard.
//
// The life of a frame: free -> claimed (being read into, by one thread) -> published, and pinned by any
// number of readers -> free again when it is evicted, which takes that nobody pins it.
#pragma once

#include "core/gpa.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace vmemfs {

/// Under which epoch a page was read, and when the reading began (steady clock, ns).
struct PageStamp {
  std::uint64_t epoch;
  std::int64_t fetched_ns;
};

/// Which pages a reader takes: those of this very epoch, fetched not before `oldest_ns`.
struct PageRequest {
  std::uint64_t epoch;
  std::int64_t oldest_ns;
  std::int64_t now_ns; ///< becomes the time of the page's last use
};

struct PageCacheStats {
  std::uint64_t used_bytes; ///< of frames that hold a page, are claimed or pinned
  std::uint64_t limit_bytes;
  std::uint64_t evictions; ///< pages that went for others
};

/// Thread-safe.
class PageCache {
public:
  static constexpr std::size_t kShardPages = 1024;

  /// One frame, as its holder sees it.
  struct Frame;

  explicit PageCache(std::size_t limit_bytes);
  ~PageCache(); ///< nobody may hold a pin
  PageCache(const PageCache&) = delete;
  PageCache& operator=(const PageCache&) = delete;

  /// The page, pinned, or nullptr. Takes no lock. May now and then miss a page that is there.
  [[nodiscard]] Frame* find(Gfn gfn, const PageRequest& request);

  enum class Claim : unsigned char {
    hit,     ///< the frame has the page, and is pinned
    claimed, ///< the frame is the caller's to read into; publish() or abandon() must follow
    loading, ///< another thread is reading that page: publish what you claimed, then wait_for() it
    full,    ///< all frames are in use
  };
  struct Claimed {
    Claim what;
    Frame* frame; ///< of hit and claimed
  };
  [[nodiscard]] Claimed claim(Gfn gfn, const PageRequest& request);

  /// Waits until the page is no longer being read. The page, pinned, or nullptr where that reading failed.
  [[nodiscard]] Frame* wait_for(Gfn gfn, const PageRequest& request);

  /// The claimed frame has the page now. With `pin` the caller keeps it pinned.
  void publish(Frame* frame, PageStamp stamp, bool pin);
  /// The claimed frame can't be had by others: the page could not be read, or is old already. With `pin` the
  /// caller may use the bytes until it unpins; otherwise the frame is free at once.
  void abandon(Frame* frame, bool pin);

  void unpin(Frame* frame);

  [[nodiscard]] static std::span<std::byte, kPageSize> bytes(Frame* frame);

  /// Forgets all pages and gives their memory back; what is pinned or claimed follows when it is let go.
  void clear();
  /// Pages beyond the new limit go, in each shard those used longest ago first. So do those whose place is in
  /// another shard from now on: half of them where the number of shards doubles. What is pinned or claimed
  /// follows when it is let go. The size of the frames' metadata is not counted.
  void set_limit(std::size_t limit_bytes);

  [[nodiscard]] PageCacheStats stats() const;

private:
  class Shard;
  /// Row 0 has shard 0, row r those from 2^(r-1) to 2^r - 1; null until the shard is first needed.
  using Row = std::unique_ptr<std::atomic<Shard*>[]>;
  static constexpr std::size_t kRows = 19;
  static constexpr std::size_t kMaxPages = kShardPages << (kRows - 1); ///< 1 TiB; higher limits count as this

  [[nodiscard]] std::atomic<Shard*>& slot(std::uint32_t number) const;
  [[nodiscard]] Shard* make_shard(std::uint32_t number, std::uint32_t count);
  [[nodiscard]] std::uint32_t share_of(std::uint32_t number) const;

  // A row is there before count_ says so, and stays. Pages find their shard by their number and count_.
  std::array<Row, kRows> rows_;
  std::atomic<std::uint32_t> count_{1}; ///< of shards; a power of two

  mutable std::mutex mutex_; ///< guards what follows, and changes of what precedes; taken before a shard's
  std::vector<std::unique_ptr<Shard>> shards_; ///< all that there are, also those beyond count_
  std::size_t limit_bytes_ = 0;
};

} // namespace vmemfs
