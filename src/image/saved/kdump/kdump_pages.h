// SPDX-License-Identifier: MIT
// Pages of a kdump file, or of the parts of a split one.
#pragma once

#include "image/saved/kdump/kdump_file.h"
#include "image/saved/page_bitmap.h"
#include "image/saved/saved_image.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs {

/// Thread-safe.
class KdumpPages final : public ImageDecoder {
public:
  /// The pages from `begin` to `end`. A descriptor for each that is stored, in the order of their numbers.
  struct Part {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t descriptors = 0;   ///< offset of the first
    std::optional<SavedFile> file{}; ///< none: the image's own
  };

  /// `bytes`: of the image's own file. `parts`: sorted, without overlaps. All have the same bitmap.
  KdumpPages(KdumpFile bytes, PageBitmap stored, std::uint64_t block_size, std::vector<Part> parts)
      : bytes_{std::move(bytes)}, stored_{std::move(stored)}, block_size_{block_size},
        parts_{std::move(parts)} {}

  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(const SavedFile& file, Gpa gpa,
                                                          std::span<std::byte> to) const override;
  [[nodiscard]] Cost cost() const override {
    return {std::chrono::nanoseconds{0}, std::chrono::microseconds{15}};
  }

  /// Whether the bytes of the last stored pages are missing, so that a file was cut.
  [[nodiscard]] bool are_cut(const SavedFile& file) const;

private:
  [[nodiscard]] const Part* part_of(std::uint64_t frame) const;
  [[nodiscard]] std::size_t read_bytes(const SavedFile& file, const Part& part, std::uint64_t offset,
                                       std::span<std::byte> to) const;
  [[nodiscard]] std::uint64_t size_of(const Part& part) const {
    return part.file ? part.file->size() : bytes_.size();
  }
  [[nodiscard]] std::optional<ErrorKind> read_page(const SavedFile& file, std::uint64_t frame,
                                                   std::span<std::byte> page) const;

  KdumpFile bytes_;
  PageBitmap stored_;
  std::uint64_t block_size_;
  std::vector<Part> parts_;
};

} // namespace vmemfs
