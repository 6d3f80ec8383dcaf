// SPDX-License-Identifier: MIT
#include "image/saved/windows/bitmap_pages.h"

#include <algorithm>

namespace vmemfs {

tl::expected<std::size_t, ErrorKind> BitmapPages::read(const SavedFile& file, Gpa gpa,
                                                       std::span<std::byte> to) const {
  const std::uint64_t page = gpa.value() / kPageSize;
  if (!stored_.test(page)) {
    return tl::unexpected{ErrorKind::bad_page}; // left out
  }
  const std::uint64_t within = gpa.value() % kPageSize;
  std::uint64_t count = kPageSize - within;
  for (std::uint64_t next = page + 1; count < to.size() && stored_.test(next); ++next) {
    count += kPageSize;
  }
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(count, to.size()));
  const std::size_t done =
      file.read(first_page_ + stored_.count_before(page) * kPageSize + within, to.first(wanted));
  return done > 0 ? tl::expected<std::size_t, ErrorKind>{done} : tl::unexpected{ErrorKind::bad_page};
}

std::optional<Gpa> BitmapPages::first_missing(std::uint64_t file_size) const {
  const std::uint64_t there = file_size > first_page_ ? file_size - first_page_ : 0;
  if (there / kPageSize >= stored_.count()) {
    return std::nullopt;
  }
  // The page with as many stored ones before it as the file has.
  std::uint64_t low = 0;
  std::uint64_t high = stored_.size();
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (stored_.count_before(middle + 1) > there / kPageSize) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return Gpa{low * kPageSize + there % kPageSize};
}

} // namespace vmemfs
