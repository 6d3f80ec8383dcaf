// SPDX-License-Identifier: MIT
#include "image/saved/kdump/kdump_image.h"

#include "image/saved/elf_notes.h"
#include "image/saved/extent_builder.h"
#include "image/saved/kdump/kdump_file.h"
#include "image/saved/kdump/kdump_headers.h"
#include "image/saved/page_bitmap.h"
#include "image/saved/page_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <elf.h>
#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }

constexpr std::uint32_t kMinBlock = 4096;
constexpr std::uint32_t kMaxBlock = 65536;
/// 4 TiB of pages of 4 KiB; bounds each bitmap to 128 MiB.
constexpr std::uint64_t kMaxFrames = std::uint64_t{1} << 30;

struct Layout {
  std::uint64_t block_size = 0;
  std::uint64_t frames = 0;
  std::uint64_t descriptors = 0; ///< offset of the first
};

class KdumpPages : public ImageDecoder {
public:
  KdumpPages(KdumpFile bytes, PageBitmap stored, Layout layout)
      : bytes_{std::move(bytes)}, stored_{std::move(stored)}, layout_{layout} {}

  tl::expected<std::size_t, ErrorKind> read(const SavedFile& file, Gpa gpa,
                                            std::span<std::byte> to) const override {
    std::vector<std::byte> page(layout_.block_size);
    std::size_t done = 0;
    while (done < to.size()) {
      const std::uint64_t here = gpa.value() + done;
      if (const auto failure = read_page(file, here / layout_.block_size, page)) {
        return done > 0 ? tl::expected<std::size_t, ErrorKind>{done} : tl::unexpected{*failure};
      }
      const auto begin = static_cast<std::size_t>(here % layout_.block_size);
      const std::size_t count = std::min(to.size() - done, page.size() - begin);
      std::memcpy(to.data() + done, page.data() + begin, count);
      done += count;
    }
    return done;
  }

  Cost cost() const override { return {std::chrono::nanoseconds{0}, std::chrono::microseconds{15}}; }

private:
  std::optional<ErrorKind> read_page(const SavedFile& file, std::uint64_t frame,
                                     std::span<std::byte> page) const {
    if (!stored_.test(frame)) {
      return ErrorKind::bad_page; // left out, or missing as all after it
    }
    const auto descriptor = bytes_.read_as<KdumpPageDescriptor>(
        file, layout_.descriptors + stored_.count_before(frame) * sizeof(KdumpPageDescriptor));
    if (!descriptor || descriptor->offset >= bytes_.size()) {
      return ErrorKind::bad_page;
    }
    if (descriptor->size > page.size()) {
      return ErrorKind::source_failed;
    }
    std::vector<std::byte> packed(descriptor->size);
    if (bytes_.read(file, descriptor->offset, packed) != packed.size()) {
      return ErrorKind::bad_page;
    }
    return unpack_page(PageCodec{descriptor->flags}, packed, page) ? std::nullopt
                                                                   : std::optional{ErrorKind::source_failed};
  }

  KdumpFile bytes_;
  PageBitmap stored_;
  Layout layout_;
};

std::optional<PageBitmap> read_bitmap(const SavedFile& file, const KdumpFile& bytes, std::uint64_t offset,
                                      std::uint64_t frames) {
  const std::uint64_t size = (frames + 7) / 8;
  if (offset > bytes.size() || size > bytes.size() - offset) {
    return std::nullopt; // before anything is allocated
  }
  std::vector<std::byte> bits(static_cast<std::size_t>(size));
  if (bytes.read(file, offset, bits) != bits.size()) {
    return std::nullopt;
  }
  return PageBitmap{bits, frames};
}

Result<void> check_header(const KdumpHeader& header) {
  if (header.version < 0 || header.version > 6 || !std::has_single_bit(header.block_size) ||
      header.block_size < kMinBlock || header.block_size > kMaxBlock) {
    return fail(
        ErrorKind::unsupported, "dump",
        "the header of the kdump file is not one of a 64-bit little-endian machine, version 0 to 6; no "
        "other is supported");
  }
  if (header.sub_header_blocks < 0) {
    return damaged("the kdump file has a header of negative size");
  }
  return {};
}

void read_notes(const SavedFile& file, const KdumpFile& bytes, const KdumpSubHeader& sub, ElfNotes& notes) {
  if (sub.notes_offset >= bytes.size()) {
    return;
  }
  const std::uint64_t size = std::min({sub.notes_size, bytes.size() - sub.notes_offset, kMaxNoteBytes});
  std::vector<std::byte> content(static_cast<std::size_t>(size));
  content.resize(bytes.read(file, sub.notes_offset, content));
  notes.read(content);
}

/// Where the bytes of the last stored pages end tells whether the file was cut.
bool pages_are_cut(const SavedFile& file, const KdumpFile& bytes, const Layout& layout, std::uint64_t pages) {
  constexpr std::uint64_t kChecked = 256; // the very last ones may all share a page of zeros
  for (std::uint64_t i = pages - std::min(pages, kChecked); i < pages; ++i) {
    const auto descriptor =
        bytes.read_as<KdumpPageDescriptor>(file, layout.descriptors + i * sizeof(KdumpPageDescriptor));
    if (!descriptor || descriptor->offset >= bytes.size() ||
        descriptor->size > bytes.size() - descriptor->offset) {
      return true;
    }
  }
  return bytes.cut();
}

class KdumpFormat : public SavedFormat {
public:
  std::string_view name() const override { return "kdump"; }

  bool matches(std::span<const std::byte> head) const override {
    const std::string_view text{reinterpret_cast<const char*>(head.data()), head.size()};
    using namespace std::string_view_literals;
    return text.starts_with("KDUMP   ") || text.starts_with("DISKDUMP") ||
           text.starts_with("makedumpfile\0\0\0\0"sv);
  }

  Result<SavedImage> open(const SavedFile& file) const override {
    auto bytes = KdumpFile::open(file);
    if (!bytes) {
      return tl::unexpected{bytes.error()};
    }
    const auto header = bytes->read_as<KdumpHeader>(file, 0);
    if (!header) {
      return damaged("the kdump file is cut off within its header");
    }
    if (auto checked = check_header(*header); !checked) {
      return tl::unexpected{checked.error()};
    }
    const auto sub = bytes->read_as<KdumpSubHeader>(file, header->block_size);
    if (!sub) {
      return damaged("the kdump file is cut off within its second header");
    }
    if (header->version >= 2 && sub->split != 0) {
      return fail(ErrorKind::unsupported, "dump", "it is a part of a split kdump file; join the parts first");
    }
    return open_pages(file, std::move(*bytes), *header, *sub);
  }

private:
  static Result<SavedImage> open_pages(const SavedFile& file, KdumpFile bytes, const KdumpHeader& header,
                                       const KdumpSubHeader& sub) {
    const std::uint64_t block = header.block_size;
    const std::uint64_t bitmaps = (1 + static_cast<std::uint64_t>(header.sub_header_blocks)) * block;
    const std::uint64_t bitmap_bytes = header.bitmap_blocks * block;
    const Layout layout{block, header.version >= 6 ? sub.max_frame_64 : header.max_frame,
                        bitmaps + bitmap_bytes};
    if (layout.frames > kMaxFrames || layout.frames > bitmap_bytes * 8) {
      return damaged(fmt::format("the kdump file has {} pages, which is more than its bitmaps or than {}",
                                 layout.frames, kMaxFrames));
    }
    // Old files have one bitmap instead of two halves: of existing pages and of stored ones.
    const bool one = layout.frames > bitmap_bytes / 2 * 8;
    const auto existing = read_bitmap(file, bytes, bitmaps, layout.frames);
    auto stored = read_bitmap(file, bytes, bitmaps + (one ? 0 : bitmap_bytes / 2), layout.frames);
    if (!existing || !stored) {
      return damaged("the kdump file is cut off within its bitmaps, which say what is where");
    }
    ExtentBuilder extents{file.size()};
    if (auto added = add_runs(extents, *existing, block); !added) {
      return tl::unexpected{std::move(added.error())};
    }
    SavedImage image{.description = "kdump file", .extents = {}};
    if (pages_are_cut(file, bytes, layout, stored->count())) {
      image.problem = "the file is cut off; pages that are missing are read as bad pages";
    }
    add_registers(file, bytes, header, sub, image);
    image.decoder = std::make_unique<KdumpPages>(std::move(bytes), std::move(*stored), layout);
    return finish_image(std::move(image), std::move(extents));
  }

  static Result<void> add_runs(ExtentBuilder& extents, const PageBitmap& pages, std::uint64_t block) {
    for (std::uint64_t begin = pages.next(0, true); begin < pages.size();) {
      const std::uint64_t end = pages.next(begin, false);
      // The offset is only for show: `maps` numbers the bytes of packed memory by their address.
      auto added = extents.add(begin * block, (end - begin) * block, ExtentKind::packed, begin * block);
      if (!added) {
        return added;
      }
      begin = pages.next(end, true);
    }
    return {};
  }

  static void add_registers(const SavedFile& file, const KdumpFile& bytes, const KdumpHeader& header,
                            const KdumpSubHeader& sub, SavedImage& image) {
    const auto& machine = header.uname[kKdumpMachine];
    const bool arm = std::string_view{machine.data(), machine.size()}.starts_with("aarch64");
    ElfNotes notes{static_cast<std::uint16_t>(arm ? EM_AARCH64 : EM_X86_64)};
    if (header.version >= 4) {
      read_notes(file, bytes, sub, notes);
    }
    if (!notes.writer().empty()) {
      image.description += fmt::format(" of {}", notes.writer());
    }
    image.registers = notes.registers();
    image.registers_from = notes.registers_from();
  }
};

} // namespace

const SavedFormat& kdump_image_format() {
  static const KdumpFormat kFormat;
  return kFormat;
}

} // namespace vmemfs
