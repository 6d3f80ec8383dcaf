// SPDX-License-Identifier: MIT
#include "image/saved/raw_image.h"

namespace vmemfs {
namespace {

class RawFormat : public SavedFormat {
public:
  std::string_view name() const override { return "raw"; }
  bool matches(std::span<const std::byte> /*head*/) const override { return true; }
  Result<SavedImage> open(const SavedFile& file) const override {
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
