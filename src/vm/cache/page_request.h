// SPDX-License-Identifier: MIT
// Requests for pages of a page cache, and what becomes of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// Pages of one shard.
inline constexpr std::size_t kShardPages = 1024;

/// One frame of a cache, as its holder sees it; see page_shard.h.
struct PageFrame;

/// The epoch of a page, and when its read began (steady clock, ns).
struct PageStamp {
  std::uint64_t epoch;
  std::int64_t fetched_ns;
};

/// The pages a reader accepts: those of this epoch, fetched not before `oldest_ns`.
struct PageRequest {
  std::uint64_t epoch;
  std::int64_t oldest_ns;
  std::int64_t now_ns; ///< becomes the time of the page's last use
};

enum class PageClaim : unsigned char {
  hit,     ///< the frame has the page, and is pinned
  claimed, ///< the frame is the caller's to read into; publish() or abandon() must follow
  loading, ///< another thread is reading the page: publish your claims, then wait_for() it
  full,    ///< all frames are in use
};
struct ClaimedPage {
  PageClaim what;
  PageFrame* frame; ///< for hit and claimed
};

} // namespace vmemfs
