// SPDX-License-Identifier: MIT
// Parameters of one read's use of the page cache.
#pragma once

#include "vm/cache/cache_counters.h"
#include "vm/cache/page_cache.h"
#include "vm/prefetch/prefetch_window.h"
#include "vm/state/epoch.h"

namespace vmemfs {

/// Without a cache, the read uses none.
struct CacheUse {
  PageCache* cache = nullptr;
  PageRequest request{};             ///< which pages are valid; loaded before the read began
  const Epoch* epoch = nullptr;      ///< fetched pages are kept only while this is the request's epoch
  CacheCounters* counters = nullptr; ///< set if the cache is
  PrefetchWindow window{};           ///< pages to fetch in addition
};

} // namespace vmemfs
