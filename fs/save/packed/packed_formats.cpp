// SPDX-License-Identifier: MIT
#include "fs/save/packed/packed_formats.h"

#include "fs/save/packed/avml_writer.h"
#include "fs/save/packed/kdump_writer.h"
#include "fs/save/packed/source_image.h"
#include "image/saved/elf_image.h"
#include "image/saved/lime_image.h"

#include <chrono>
#include <fmt/format.h>
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

Result<std::unique_ptr<KdumpTarget>> make_target(const PackedOutput& output) {
  if (output.is_file) {
    return std::make_unique<KdumpFileTarget>(SparseOutput{output.fd, output.name});
  }
  return Sha256::create().map([&](Sha256 hash) -> std::unique_ptr<KdumpTarget> {
    return std::make_unique<FlattenedTarget>(
        HashedStream{StreamOutput{output.fd, output.name}, std::move(hash)});
  });
}

Result<PackedImage> make_kdump(const SavedFile& headers, const PackedOutput& output) {
  auto ranges = source_ranges(headers, elf_image_format());
  if (!ranges) {
    return tl::unexpected{std::move(ranges.error())};
  }
  auto elf = elf_machine_notes(headers);
  if (!elf) {
    return tl::unexpected{std::move(elf.error())};
  }
  KdumpContent content{.ranges = {},
                       .machine = elf->machine,
                       .notes = std::move(elf->notes),
                       .time = std::chrono::system_clock::now()};
  for (const SourceRange& range : *ranges) {
    if (range.memory.begin.page_offset() != 0 || range.memory.end.page_offset() != 0) {
      return fail(ErrorKind::unsupported, "save",
                  fmt::format("cannot save as kdump: the memory at {:#x} does not end at whole pages, which "
                              "this format has only; use another format",
                              range.memory.begin.value()));
    }
    content.ranges.push_back(range.memory);
  }
  return make_target(output).map([&](std::unique_ptr<KdumpTarget> target) {
    return PackedImage{MemoryChunks{std::move(*ranges)},
                       std::make_unique<KdumpWriter>(KdumpLayout{std::move(content)}, std::move(target))};
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
  case SaveFormat::kdump: return make_kdump(*headers, output);
  }
  return fail(ErrorKind::invalid, "save", "this format is not packed");
}

} // namespace vmemfs
