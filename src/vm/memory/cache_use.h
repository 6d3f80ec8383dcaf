// SPDX-License-Identifier: MIT
// Parameters of one read's use of the page cache.
#pragma once

#include "vm/cache/page_cache.h"
#include "vm/memory/read_ahead.h"
#include "vm/state/epoch.h"

#include <cstddef>

namespace vmemfs {

/// Without a cache, the read uses none.
struct CacheUse {
  PageCache* cache = nullptr;
  PageRequest request{};           ///< which pages are valid; loaded before the read began
  const Epoch* epoch = nullptr;    ///< fetched pages are kept only while this is the request's epoch
  ReadAhead* read_ahead = nullptr; ///< the open file's; may be null
  std::size_t max_prefetch = 0;    ///< bytes; 0 if a batch of many pages is not cheap
};

} // namespace vmemfs
