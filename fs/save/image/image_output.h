// SPDX-License-Identifier: MIT
// Targets of the bytes of an image: a file with holes, or a stream.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace vmemfs {

/// A file that is written at any place, by several threads at once. Blocks of zeros are not written.
class SparseOutput {
public:
  SparseOutput(int fd, std::string path) : fd_{fd}, path_{std::move(path)} {}

  /// All of it is a hole until it is written.
  [[nodiscard]] Result<void> set_size(std::uint64_t size) const;
  [[nodiscard]] Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  /// What was written.
  [[nodiscard]] Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const;

private:
  int fd_; ///< not owned
  std::string path_;
};

/// Standard output or the like, written from the first to the last byte.
class StreamOutput {
public:
  StreamOutput(int fd, std::string name) : fd_{fd}, name_{std::move(name)} {}

  [[nodiscard]] Result<void> write(std::span<const std::byte> bytes) const;

private:
  int fd_; ///< not owned
  std::string name_;
};

} // namespace vmemfs
