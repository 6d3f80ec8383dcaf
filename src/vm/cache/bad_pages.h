// SPDX-License-Identifier: MIT
// List of the bad pages that were read as zeros, so that padding can be audited.
#pragma once

#include "core/gpa.h"
#include "util/mutex.h"

#include <cstdint>
#include <set>
#include <vector>

namespace vmemfs {

/// Thread-safe.
class BadPages {
public:
  /// Pages beyond this many are counted but not listed.
  static constexpr std::size_t kMaxListed = 1024;

  void add(Gfn page);

  [[nodiscard]] std::uint64_t times_padded() const; ///< how often a bad page was read as zeros
  [[nodiscard]] std::vector<Gfn> listed() const;    ///< sorted, each page once

private:
  mutable Mutex mutex_; ///< leaf
  std::set<Gfn> pages_ GUARDED_BY(mutex_);
  std::uint64_t times_ GUARDED_BY(mutex_) = 0;
};

} // namespace vmemfs
