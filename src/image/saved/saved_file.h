// SPDX-License-Identifier: MIT
// A file with saved memory, read by offset.
//
// It is never mapped: a file that is cut while it is in use would then end the program with SIGBUS.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace vmemfs {

/// Thread-safe.
class SavedFile {
public:
  /// A regular file that is not empty.
  static Result<SavedFile> open(const std::string& path);
  /// One that is open already and has this size.
  static SavedFile adopt(UniqueFd file, std::uint64_t size) { return SavedFile{std::move(file), size}; }

  [[nodiscard]] std::uint64_t size() const { return size_; } ///< when it was opened

  /// Reads as much of `to` as the file has from `offset` on; returns the number of bytes.
  [[nodiscard]] std::size_t read(std::uint64_t offset, std::span<std::byte> to) const;

  /// A structure of the file's format; nullopt: the file ends before its end.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] std::optional<T> read_as(std::uint64_t offset) const {
    T value{};
    const auto bytes = std::as_writable_bytes(std::span{&value, 1});
    return read(offset, bytes) == bytes.size() ? std::optional{value} : std::nullopt;
  }

private:
  SavedFile(UniqueFd file, std::uint64_t size) : file_{std::move(file)}, size_{size} {}

  UniqueFd file_;
  std::uint64_t size_;
};

} // namespace vmemfs
