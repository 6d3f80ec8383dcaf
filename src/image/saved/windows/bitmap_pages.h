// SPDX-License-Identifier: MIT
// Pages of a file that stores those of a bitmap, one after the other and as they are.
#pragma once

#include "core/gpa.h"
#include "image/saved/page_bitmap.h"
#include "image/saved/saved_image.h"

#include <cstdint>
#include <optional>
#include <utility>

namespace vmemfs {

/// Pages of 4 KiB. Thread-safe: nothing changes.
class BitmapPages : public ImageDecoder {
public:
  /// `first_page`: the offset of the first page; the sum with all others must fit in 63 bits.
  BitmapPages(PageBitmap stored, std::uint64_t first_page)
      : stored_{std::move(stored)}, first_page_{first_page} {}

  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(const SavedFile& file, Gpa gpa,
                                                          std::span<std::byte> to) const override;
  [[nodiscard]] Cost cost() const override { return {}; }

  /// The lowest address that a file of this size should have stored but does not.
  [[nodiscard]] std::optional<Gpa> first_missing(std::uint64_t file_size) const;

private:
  PageBitmap stored_;
  std::uint64_t first_page_;
};

} // namespace vmemfs
