// SPDX-License-Identifier: MIT
// The bytes of a kdump file, which is plain or "flattened" into records that may come in any order.
//
// Flattened form: makedumpfile's IMPLEMENTATION, "flattened format" (struct makedumpfile_header and
// makedumpfile_data_header).
#pragma once

#include "image/saved/saved_file.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <type_traits>

namespace vmemfs {

/// Thread-safe once it was opened.
class KdumpFile {
public:
  static Result<KdumpFile> open(const SavedFile& file);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] bool cut() const { return cut_; } ///< flattened, and without its end

  /// As SavedFile::read(); ends at bytes that no record has.
  [[nodiscard]] std::size_t read(const SavedFile& file, std::uint64_t offset, std::span<std::byte> to) const;

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] std::optional<T> read_as(const SavedFile& file, std::uint64_t offset) const {
    T value{};
    const auto bytes = std::as_writable_bytes(std::span{&value, 1});
    return read(file, offset, bytes) == bytes.size() ? std::optional{value} : std::nullopt;
  }

private:
  struct Part {
    std::uint64_t end;
    std::uint64_t at; ///< in the flattened file
  };

  void put(std::uint64_t begin, Part part);

  bool flattened_ = false;
  bool cut_ = false;
  std::uint64_t size_ = 0;
  std::map<std::uint64_t, Part> parts_; ///< by their begin; without overlaps
};

} // namespace vmemfs
