// SPDX-License-Identifier: MIT
#include "image/saved/avml/avml_image.h"

#include "image/saved/avml/snappy_frames.h"
#include "image/saved/extent_builder.h"
#include "image/saved/range_header.h"

#include <fmt/format.h>
#include <memory>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint32_t kMagic = 0x4c4d5641;
constexpr std::uint32_t kVersion = 2;

bool is_header(const std::optional<RangeHeader>& header, std::uint64_t above) {
  return header && header->magic == kMagic && header->version == kVersion && header->first >= above &&
         header->first <= header->last && header->last < kMaxImageGpa && header->reserved == 0;
}

class AvmlFormat : public SavedFormat {
public:
  std::string_view name() const override { return "avml"; }

  bool matches(std::span<const std::byte> head) const override { return begins_with_magic(head, kMagic); }

  Result<SavedImage> open(const SavedFile& file) const override {
    SavedImage image{.description = "AVML image", .extents = {}};
    ExtentBuilder extents{file.size()};
    auto frames = std::make_unique<SnappyFrames>();
    std::uint64_t above = 0; // ranges come in ascending order
    for (std::uint64_t at = 0; at < file.size() && image.problem.empty();) {
      const auto header = file.read_as<RangeHeader>(at);
      if (!is_header(header, above)) {
        image.problem = fmt::format("there is no AVML header at offset {:#x}; what follows is not shown", at);
        break;
      }
      above = header->last + 1;
      const auto stream =
          frames->add(file, at + sizeof(RangeHeader), GpaRange{Gpa{header->first}, Gpa{above}});
      if (!stream) {
        return fail(ErrorKind::invalid, "dump",
                    fmt::format("the AVML image has more than {} chunks, or {} without memory",
                                SnappyFrames::kMaxChunks, SnappyFrames::kMaxSkipped));
      }
      if (auto added = add(extents, *header, stream->size); !added) {
        return tl::unexpected{std::move(added.error())};
      }
      const auto length = file.read_as<std::uint64_t>(stream->end);
      if (stream->size < above - header->first || !length) {
        image.problem =
            fmt::format("the file is cut off or damaged at offset {:#x}; memory from {:#x} on is missing",
                        stream->end, header->first + stream->size);
      } else if (*length != stream->end - at - sizeof(RangeHeader)) {
        image.problem = fmt::format(
            "the length at offset {:#x} is not that of the range before; what follows is not shown",
            stream->end);
      }
      at = stream->end + sizeof(*length);
    }
    image.decoder = std::move(frames);
    return finish_image(std::move(image), std::move(extents));
  }

private:
  static Result<void> add(ExtentBuilder& extents, const RangeHeader& header, std::uint64_t there) {
    const std::uint64_t size = header.last - header.first + 1;
    // The offset is only for show: `maps` numbers the bytes of packed memory by their address.
    if (there > 0) {
      if (auto added = extents.add(header.first, there, ExtentKind::packed, header.first); !added) {
        return added;
      }
    }
    return there < size ? extents.add(header.first + there, size - there, ExtentKind::absent, 0)
                        : Result<void>{};
  }
};

} // namespace

const SavedFormat& avml_image_format() {
  static const AvmlFormat kFormat;
  return kFormat;
}

} // namespace vmemfs
