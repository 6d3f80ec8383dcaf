// SPDX-License-Identifier: MIT
#include "vm/views/shown_texts.h"

#include <algorithm>
#include <fmt/format.h>

namespace vmemfs {

Result<void> ShownTexts::add(const std::shared_ptr<const void>& owner, std::size_t bytes) {
  const std::size_t counted = std::max(bytes, kLeastBytes);
  const MutexLock lock{mutex_};
  if (shown_.contains(owner)) {
    return {};
  }
  // Only then, as it goes through all of them: a text that is read again and again is a new one each time.
  if (shown_.size() >= next_purge_ || counted > max_bytes_ - std::min(bytes_, max_bytes_)) {
    forget_closed();
    next_purge_ = std::max(kFirstPurge, 2 * shown_.size());
  }
  if (counted > max_bytes_ - std::min(bytes_, max_bytes_)) {
    return fail(
        ErrorKind::no_memory, "fs",
        fmt::format("open files show {} MiB of this VM already, and at most {} MiB are kept for them; "
                    "close some",
                    bytes_ >> 20U, max_bytes_ >> 20U));
  }
  shown_.emplace(owner, counted);
  bytes_ += counted;
  return {};
}

std::size_t ShownTexts::bytes() const {
  const MutexLock lock{mutex_};
  std::size_t sum = 0;
  for (const auto& [owner, bytes] : shown_) {
    sum += owner.expired() ? 0 : bytes;
  }
  return sum;
}

std::size_t ShownTexts::remembered() const {
  const MutexLock lock{mutex_};
  return shown_.size();
}

void ShownTexts::forget_closed() {
  for (auto entry = shown_.begin(); entry != shown_.end();) {
    if (entry->first.expired()) {
      bytes_ -= entry->second;
      entry = shown_.erase(entry);
    } else {
      ++entry;
    }
  }
}

} // namespace vmemfs
