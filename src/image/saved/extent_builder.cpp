// SPDX-License-Identifier: MIT
#include "image/saved/extent_builder.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <utility>

namespace vmemfs {

Result<void> ExtentBuilder::add(std::uint64_t gpa, std::uint64_t length, ExtentKind kind,
                                std::uint64_t offset) {
  if (length == 0 || gpa >= kMaxImageGpa || length > kMaxImageGpa - gpa) {
    return fail(
        ErrorKind::invalid, "dump",
        fmt::format("it has a range at {:#x} of {:#x} bytes, which is not an address range; the file is "
                    "damaged",
                    gpa, length));
  }
  if (++ranges_ > kMaxImageRanges) {
    return fail(ErrorKind::invalid, "dump", fmt::format("it has more than {} ranges", kMaxImageRanges));
  }
  std::uint64_t there = length;
  if (kind == ExtentKind::stored) {
    there = offset < file_size_ ? std::min(length, file_size_ - offset) : 0;
  } else if (kind == ExtentKind::absent) {
    there = 0;
  }
  if (there > 0) {
    claim({{Gpa{gpa}, Gpa{gpa + there}}, kind, offset});
  }
  if (there < length) {
    absent_.push_back({{Gpa{gpa + there}, Gpa{gpa + length}}, ExtentKind::absent, offset + there});
    if (kind == ExtentKind::stored) {
      first_missing_ = std::min(first_missing_.value_or(Gpa{gpa + there}), Gpa{gpa + there});
    }
  }
  return {};
}

bool ExtentBuilder::has(std::uint64_t gpa, std::uint64_t length) const {
  const auto next = claimed_.upper_bound(gpa);
  return next != claimed_.begin() && length <= kMaxImageGpa && gpa <= kMaxImageGpa &&
         std::prev(next)->second >= gpa + length;
}

// Touching ranges are joined, so that each is looked at once in all, however many overlap.
void ExtentBuilder::claim(const Extent& extent) {
  const std::uint64_t begin = extent.range.begin.value();
  const std::uint64_t end = extent.range.end.value();
  auto next = claimed_.upper_bound(begin);
  if (next != claimed_.begin() && std::prev(next)->second >= begin) {
    --next;
  }
  std::uint64_t at = begin;
  std::uint64_t joined_begin = begin;
  std::uint64_t joined_end = end;
  while (next != claimed_.end() && next->first <= end) {
    emit(extent, at, next->first);
    at = std::max(at, next->second);
    joined_begin = std::min(joined_begin, next->first);
    joined_end = std::max(joined_end, next->second);
    next = claimed_.erase(next);
  }
  emit(extent, at, end);
  claimed_.emplace_hint(next, joined_begin, joined_end);
}

void ExtentBuilder::emit(const Extent& extent, std::uint64_t begin, std::uint64_t end) {
  if (begin < end) {
    extents_.push_back(
        {{Gpa{begin}, Gpa{end}}, extent.kind, extent.offset + (begin - extent.range.begin.value())});
  }
}

ExtentBuilder::Extents ExtentBuilder::take() {
  for (const Extent& extent : absent_) {
    claim(extent);
  }
  std::ranges::sort(extents_, {}, [](const Extent& extent) { return extent.range.begin; });
  std::vector<Extent> joined;
  for (const Extent& extent : extents_) {
    if (!joined.empty() && joined.back().range.end == extent.range.begin &&
        joined.back().kind == extent.kind &&
        joined.back().offset + joined.back().range.size() == extent.offset) {
      joined.back().range.end = extent.range.end;
    } else {
      joined.push_back(extent);
    }
  }
  return {std::move(joined), first_missing_};
}

Result<SavedImage> finish_image(SavedImage image, ExtentBuilder extents) {
  auto taken = extents.take();
  if (taken.all.empty()) {
    return fail(ErrorKind::invalid, "dump",
                fmt::format("{} without any memory; {}", image.description,
                            image.problem.empty() ? "the file is empty of ranges" : image.problem));
  }
  image.extents = std::move(taken.all);
  image.first_missing = taken.first_missing;
  return image;
}

} // namespace vmemfs
