// SPDX-License-Identifier: MIT
#include "image/lime.h"
#include "vm/views/image.h"

namespace vmemfs {
namespace {

Image lay_out(Guest& guest) {
  auto ranges = image_ranges(*guest.memory().map());
  ImageLayout layout = lime_layout(ranges);
  return {std::move(layout), [ranges = std::move(ranges)](Guest& /*guest*/) {
            return ImageBytes{lime_headers(ranges), true};
          }};
}

std::uint64_t bytes(Guest& guest) { return lime_bytes(image_ranges(*guest.memory().map())); }

} // namespace

const ImageFormat& lime_format() {
  static constexpr ImageFormat kFormat{&lay_out, &bytes, true};
  return kFormat;
}

} // namespace vmemfs
