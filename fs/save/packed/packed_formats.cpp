// SPDX-License-Identifier: MIT
#include "fs/save/packed/packed_formats.h"

#include "fs/save/packed/avml_writer.h"
#include "fs/save/packed/source_image.h"
#include "image/saved/lime_image.h"

#include <utility>

namespace vmemfs {
namespace {

Result<PackedImage> make_avml(const SavedFile& headers, const PackedOutput& output) {
  auto ranges = source_ranges(headers, lime_image_format());
  if (!ranges) {
    return tl::unexpected{std::move(ranges.error())};
  }
  return Sha256::create().map([&](Sha256 hash) {
    return PackedImage{
        MemoryChunks{std::move(*ranges)},
        std::make_unique<AvmlWriter>(HashedStream{StreamOutput{output.fd, output.name}, std::move(hash)})};
  });
}

} // namespace

Result<PackedImage> make_packed_image(SaveFormat format, const MemorySource& source,
                                      const PackedOutput& output) {
  const auto headers = headers_of(source);
  if (!headers) {
    return tl::unexpected{headers.error()};
  }
  switch (format) {
  case SaveFormat::raw:
  case SaveFormat::lime:
  case SaveFormat::elf: break;
  case SaveFormat::avml: return make_avml(*headers, output);
  }
  return fail(ErrorKind::invalid, "save", "this format is not packed");
}

} // namespace vmemfs
