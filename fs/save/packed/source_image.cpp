// SPDX-License-Identifier: MIT
#include "fs/save/packed/source_image.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

tl::unexpected<Error> bad_source(const SavedFormat& format, std::string_view reason) {
  return fail(
      ErrorKind::source_failed, "save",
      fmt::format("cannot read the headers of the VM's {} image: {}; start again", format.name(), reason));
}

} // namespace

Result<SavedFile> headers_of(const MemorySource& source) {
  return source.duplicate().map(
      [&](UniqueFd file) { return SavedFile::adopt(std::move(file), source.size()); });
}

Result<std::vector<SourceRange>> source_ranges(const SavedFile& file, const SavedFormat& format) {
  const auto image = format.open(file);
  if (!image) {
    return bad_source(format, image.error().text);
  }
  if (!image->problem.empty() || image->first_missing) {
    return bad_source(format, image->problem.empty() ? "it is cut off" : image->problem);
  }
  std::vector<SourceRange> ranges;
  for (const Extent& extent : image->extents) {
    if (extent.kind != ExtentKind::stored || (!ranges.empty() && extent.offset <= ranges.back().offset)) {
      return bad_source(format, "its memory is not in the order of its addresses");
    }
    ranges.push_back({extent.range, extent.offset});
  }
  return ranges;
}

} // namespace vmemfs
