// SPDX-License-Identifier: MIT
// Builder of an image's extents from what a file says, which may overlap or lie beyond its end.
#pragma once

#include "image/saved/saved_image.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace vmemfs {

/// Max number of ranges of a file: bounds the memory that a hostile one can take.
inline constexpr std::uint64_t kMaxImageRanges = std::uint64_t{1} << 16;

/// Physical addresses of all architectures that have dumps lie below it.
inline constexpr std::uint64_t kMaxImageGpa = std::uint64_t{1} << 52;

/// Of overlapping ranges the first one counts; absent ones give way to all others.
class ExtentBuilder {
public:
  explicit ExtentBuilder(std::uint64_t file_size) : file_size_{file_size} {}

  /// A part that would be stored beyond the end of the file becomes absent. invalid: not an allowed range.
  [[nodiscard]] Result<void> add(std::uint64_t gpa, std::uint64_t length, ExtentKind kind,
                                 std::uint64_t offset);

  /// Whether earlier ranges have all of it.
  [[nodiscard]] bool has(std::uint64_t gpa, std::uint64_t length) const;

  struct Extents {
    std::vector<Extent> all;
    std::optional<Gpa> first_missing; ///< because of the end of the file
  };
  [[nodiscard]] Extents take();

private:
  void claim(const Extent& extent);
  void emit(const Extent& extent, std::uint64_t begin, std::uint64_t end);

  std::uint64_t file_size_;
  std::uint64_t ranges_ = 0;
  std::map<std::uint64_t, std::uint64_t> claimed_; ///< begin to end; apart from each other
  std::vector<Extent> extents_;
  std::vector<Extent> absent_;
  std::optional<Gpa> first_missing_;
};

/// Puts the extents into the image; invalid if it has none.
[[nodiscard]] Result<SavedImage> finish_image(SavedImage image, ExtentBuilder extents);

} // namespace vmemfs
