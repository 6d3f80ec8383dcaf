// SPDX-License-Identifier: MIT
// The bytes that images add to a guest's memory, of the epoch in which it cannot change: all who open an
// image in it get the same, so that a page of one is one of all.
#pragma once

#include "util/mutex.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace vmemfs {

struct ImageFormat;

/// Of one guest. Thread-safe. Keeps one image of each format, the latest.
class MadeImages {
public:
  using Bytes = std::shared_ptr<const std::vector<std::byte>>;

  /// Null if none was kept in this epoch.
  [[nodiscard]] Bytes find(const ImageFormat& format, std::uint64_t epoch) const EXCLUDES(mutex_);
  /// `bytes` will not be made otherwise in this epoch.
  void keep(const ImageFormat& format, std::uint64_t epoch, Bytes bytes) EXCLUDES(mutex_);

private:
  struct Made {
    std::uint64_t epoch;
    Bytes bytes;
  };

  mutable Mutex mutex_; ///< leaf
  std::map<const ImageFormat*, Made> made_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
