// SPDX-License-Identifier: MIT
// Cache of one VM's memory pages that are stable, or recent enough for the VM's TTL.
//
// A cache consists of shards, each with up to kShardPages frames of 4 KiB. A hit takes no lock: the reader
// finds the frame in its shard's index, pins it, and then checks whether it has the right page. Every other
// operation (claiming, publishing, waiting) takes the shard's lock. Eviction is by time of last use, exact
// within a shard; a cache of up to kShardPages pages is one shard.
//
// The life of a frame: free -> claimed (being filled, by one thread) -> published, and pinned by any number
// of readers -> free again when it is evicted, which requires that nobody pins it.
#pragma once

#include "core/gpa.h"
#include "util/mutex.h"
#include "vm/cache/page_request.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace vmemfs {

struct PageCacheStats {
  std::uint64_t used_bytes; ///< frames that hold a page, are claimed or pinned
  std::uint64_t limit_bytes;
  std::uint64_t evictions; ///< pages replaced by others
};

class PageShard;

/// Thread-safe.
class PageCache {
public:
  using Frame = PageFrame;
  using Claim = PageClaim;
  using Claimed = ClaimedPage;

  explicit PageCache(std::size_t limit_bytes);
  ~PageCache(); ///< no pin may exist
  PageCache(const PageCache&) = delete;
  PageCache& operator=(const PageCache&) = delete;

  /// Returns the page, pinned, or nullptr. Takes no lock. May occasionally miss a cached page.
  [[nodiscard]] Frame* find(Gfn gfn, const PageRequest& request);

  [[nodiscard]] Claimed claim(Gfn gfn, const PageRequest& request);

  /// Waits until the page is no longer being read. Returns it, pinned, or nullptr if that read failed.
  [[nodiscard]] Frame* wait_for(Gfn gfn, const PageRequest& request);

  /// Publishes a claimed frame that has been filled. With `pin`, the caller keeps it pinned.
  void publish(Frame* frame, PageStamp stamp, bool pin);
  /// Gives up a claimed frame: the page could not be read, or is stale already. With `pin`, the caller
  /// may use the bytes until it unpins; otherwise the frame is free at once.
  void abandon(Frame* frame, bool pin);

  void unpin(Frame* frame);

  [[nodiscard]] static std::span<std::byte, kPageSize> bytes(Frame* frame);

  /// Drops all pages and releases their memory; pinned or claimed ones follow when they are unpinned.
  void clear();
  /// Evicts pages beyond the new limit, in each shard the least recently used first. Also evicts pages
  /// that now belong to another shard: half of them if the number of shards doubles. Pinned or claimed
  /// pages follow when they are unpinned. The size of the frames' metadata is not counted.
  void set_limit(std::size_t limit_bytes);

  [[nodiscard]] PageCacheStats stats() const;

private:
  using Shard = PageShard;
  /// Row 0 has shard 0, row r those from 2^(r-1) to 2^r - 1; null until the shard is first needed.
  using Row = std::unique_ptr<std::atomic<Shard*>[]>;
  static constexpr std::size_t kRows = 19;
  static constexpr std::size_t kMaxPages = kShardPages << (kRows - 1); ///< 1 TiB; higher limits count as this

  [[nodiscard]] std::atomic<Shard*>& slot(std::uint32_t number) const;
  [[nodiscard]] Shard* make_shard(std::uint32_t number, std::uint32_t count) EXCLUDES(mutex_);
  [[nodiscard]] std::uint32_t share_of(std::uint32_t number) const REQUIRES(mutex_);

  // A row exists before count_ includes it, and is never removed. A page finds its shard by its number
  // and count_.
  std::array<Row, kRows> rows_;
  std::atomic<std::uint32_t> count_{1}; ///< of shards; a power of two

  mutable Mutex mutex_; ///< held for changes of the above; taken before a shard's
  /// All that exist, also those beyond count_.
  std::vector<std::unique_ptr<Shard>> shards_ GUARDED_BY(mutex_);
  std::size_t limit_bytes_ GUARDED_BY(mutex_) = 0;
};

} // namespace vmemfs
