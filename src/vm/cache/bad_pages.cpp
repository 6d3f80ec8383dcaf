// SPDX-License-Identifier: MIT
#include "vm/cache/bad_pages.h"

namespace vmemfs {

void BadPages::add(Gfn page) {
  const MutexLock lock{mutex_};
  ++times_;
  if (pages_.size() < kMaxListed) {
    pages_.insert(page);
  }
}

std::uint64_t BadPages::times_padded() const {
  const MutexLock lock{mutex_};
  return times_;
}

std::vector<Gfn> BadPages::listed() const {
  const MutexLock lock{mutex_};
  return {pages_.begin(), pages_.end()};
}

} // namespace vmemfs
