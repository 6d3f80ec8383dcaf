// SPDX-License-Identifier: MIT
#include "image/saved/saved_formats.h"

#include "image/saved/avml/avml_image.h"
#include "image/saved/elf_image.h"
#include "image/saved/foreign_contents.h"
#include "image/saved/kdump/kdump_image.h"
#include "image/saved/lime_image.h"
#include "image/saved/raw_image.h"
#include "image/saved/vmware/vmware_image.h"
#include "image/saved/windows/windows_image.h"

#include <array>
#include <fmt/format.h>

namespace vmemfs {

std::span<const SavedFormat* const> saved_formats() {
  // VMware's is the first: a guest can write the beginning of any other into a .vmem.
  static const std::array<const SavedFormat*, 7> kFormats{
      &vmware_image_format(), &kdump_image_format(), &windows_image_format(), &elf_image_format(),
      &avml_image_format(),   &lime_image_format(),  &raw_image_format()};
  return kFormats;
}

Result<SavedImage> open_image(const SavedFile& file, std::string_view format) {
  std::array<std::byte, kImageHead> head{};
  const std::size_t size = file.read(0, head);
  const bool by_content = format.empty() || format == kKnownFormat;
  for (const SavedFormat* candidate : saved_formats()) {
    const bool matches =
        candidate->matches(std::span{head}.first(size)) || candidate->takes_name(file.path());
    if (by_content ? !matches : candidate->name() != format) {
      continue;
    }
    if (const auto what = foreign_content(std::span{head}.first(size));
        by_content && candidate == &raw_image_format() && !what.empty()) {
      return fail(ErrorKind::invalid, "dump",
                  fmt::format("it is {}; if its offsets are guest physical addresses nevertheless, give "
                              "format=raw",
                              what));
    }
    if (format == kKnownFormat && candidate == &raw_image_format()) {
      return fail(ErrorKind::invalid, "dump",
                  "its content is of no known format of saved memory; if its offsets are guest physical "
                  "addresses, give format=raw");
    }
    if (!matches) {
      return fail(
          ErrorKind::invalid, "dump",
          fmt::format("it does not begin as format={} does; without format= it is found by content", format));
    }
    return candidate->open(file);
  }
  return fail(ErrorKind::invalid, "dump", fmt::format("there is no format '{}'", format));
}

} // namespace vmemfs
