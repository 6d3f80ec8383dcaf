// SPDX-License-Identifier: MIT
#include "image/saved/lime_image.h"

#include "image/saved/extent_builder.h"
#include "image/saved/range_header.h"

#include <fmt/format.h>

namespace vmemfs {
namespace {

constexpr std::uint32_t kMagic = 0x4c694d45;
constexpr std::uint32_t kVersion = 1;

class LimeFormat : public SavedFormat {
public:
  std::string_view name() const override { return "lime"; }

  bool matches(std::span<const std::byte> head) const override { return begins_with_magic(head, kMagic); }

  Result<SavedImage> open(const SavedFile& file) const override {
    SavedImage image{.description = "LiME image", .extents = {}};
    ExtentBuilder extents{file.size()};
    for (std::uint64_t at = 0; at < file.size();) {
      const auto header = file.read_as<RangeHeader>(at);
      if (!header || header->magic != kMagic || header->version != kVersion || header->last < header->first) {
        image.problem = fmt::format("there is no LiME header at offset {:#x}; what follows is not shown", at);
        break;
      }
      const std::uint64_t length = header->last - header->first + 1; // 0 if it is all addresses
      const std::uint64_t data = at + sizeof(RangeHeader);
      if (auto added = extents.add(header->first, length, ExtentKind::stored, data); !added) {
        return tl::unexpected{std::move(added.error())};
      }
      if (length > file.size() - data) {
        break; // cut here
      }
      at = data + length;
    }
    return finish_image(std::move(image), std::move(extents));
  }
};

} // namespace

const SavedFormat& lime_image_format() {
  static const LimeFormat kFormat;
  return kFormat;
}

} // namespace vmemfs
