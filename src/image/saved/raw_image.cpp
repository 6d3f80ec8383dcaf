// SPDX-License-Identifier: MIT
#include "image/saved/raw_image.h"

#include <cstdint>
#include <fmt/format.h>

namespace vmemfs {
namespace {

/// So that images of it, with headers, have a size too.
constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 52U;

class RawFormat : public SavedFormat {
public:
  std::string_view name() const override { return "raw"; }
  bool matches(std::span<const std::byte> /*head*/) const override { return true; }
  Result<SavedImage> open(const SavedFile& file) const override {
    if (file.size() > kMaxMemory) {
      return fail(
          ErrorKind::invalid, "dump",
          fmt::format("it has {} bytes, more than any machine's memory: physical addresses have at most "
                      "52 bits",
                      file.size()));
    }
    SavedImage image{.description = "raw image", .extents = {}};
    image.extents.push_back({{Gpa{0}, Gpa{file.size()}}, ExtentKind::stored, 0});
    return image;
  }
};

} // namespace

const SavedFormat& raw_image_format() {
  static const RawFormat kFormat;
  return kFormat;
}

} // namespace vmemfs
