// SPDX-License-Identifier: MIT
// Targets of the parts of a kdump file, which are not written in their order.
#pragma once

#include "core/error.h"
#include "fs/save/image/image_output.h"
#include "fs/save/packed/hashed_stream.h"
#include "fs/save/packed/image_writer.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <utility>

namespace vmemfs {

/// Not thread-safe.
class KdumpTarget {
public:
  virtual ~KdumpTarget() = default;

  [[nodiscard]] virtual Result<void> begin() = 0;
  /// Writes bytes, not none, at this offset of the file.
  [[nodiscard]] virtual Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// `size`: of the file. What was not put is zeros. interrupted: stopped.
  [[nodiscard]] virtual Result<WrittenImage> end(std::uint64_t size, const std::stop_token& stop) = 0;
};

/// A file, which is read back for its SHA-256: its begin is known last.
class KdumpFileTarget final : public KdumpTarget {
public:
  explicit KdumpFileTarget(SparseOutput output) : output_{std::move(output)} {}

  [[nodiscard]] Result<void> begin() override { return {}; }
  [[nodiscard]] Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return output_.write(offset, bytes);
  }
  [[nodiscard]] Result<WrittenImage> end(std::uint64_t size, const std::stop_token& stop) override;

private:
  SparseOutput output_;
};

/// A stream, in makedumpfile's flattened form: each part with its offset. Every byte of the file must be put.
class FlattenedTarget final : public KdumpTarget {
public:
  explicit FlattenedTarget(HashedStream output) : output_{std::move(output)} {}

  [[nodiscard]] Result<void> begin() override;
  [[nodiscard]] Result<void> put(std::uint64_t offset, std::span<const std::byte> bytes) override;
  [[nodiscard]] Result<WrittenImage> end(std::uint64_t size, const std::stop_token& stop) override;

private:
  HashedStream output_;
};

} // namespace vmemfs
