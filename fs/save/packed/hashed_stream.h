// SPDX-License-Identifier: MIT
// A stream and the SHA-256 of what was written to it.
#pragma once

#include "core/error.h"
#include "fs/save/image/image_output.h"
#include "fs/save/image/sha256.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace vmemfs {

/// Not thread-safe.
class HashedStream {
public:
  HashedStream(StreamOutput output, Sha256 hash) : output_{std::move(output)}, hash_{std::move(hash)} {}

  [[nodiscard]] Result<void> write(std::span<const std::byte> bytes) {
    bytes_ += bytes.size();
    return output_.write(bytes).and_then([&] { return hash_.add(bytes); });
  }

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; } ///< that were written
  /// Once, at the end.
  [[nodiscard]] Result<std::string> sha256() { return hash_.finish(); }

private:
  StreamOutput output_;
  Sha256 hash_;
  std::uint64_t bytes_ = 0;
};

} // namespace vmemfs
