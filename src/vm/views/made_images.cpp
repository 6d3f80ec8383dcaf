// SPDX-License-Identifier: MIT
#include "vm/views/made_images.h"

#include <utility>

namespace vmemfs {

MadeImages::Bytes MadeImages::find(const ImageFormat& format, std::uint64_t epoch) const {
  const MutexLock lock{mutex_};
  const auto found = made_.find(&format);
  return found != made_.end() && found->second.epoch == epoch ? found->second.bytes : nullptr;
}

/// The first one of an epoch stays: files that are open may show it.
void MadeImages::keep(const ImageFormat& format, std::uint64_t epoch, Bytes bytes) {
  const MutexLock lock{mutex_};
  const auto [found, is_new] = made_.try_emplace(&format, Made{epoch, bytes});
  if (!is_new && found->second.epoch != epoch) {
    found->second = {epoch, std::move(bytes)};
  }
}

} // namespace vmemfs
