// SPDX-License-Identifier: MIT
#include "image/saved/kdump/kdump_image.h"

#include "image/saved/elf_notes.h"
#include "image/saved/extent_builder.h"
#include "image/saved/kdump/kdump_facts.h"
#include "image/saved/kdump/kdump_file.h"
#include "image/saved/kdump/kdump_pages.h"
#include "image/saved/kdump/kdump_parts.h"
#include "image/saved/page_bitmap.h"

#include <algorithm>
#include <cstddef>
#include <elf.h>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// Of QEMU, for the machine of a guest.
constexpr std::string_view kQemuNoName = "Unknown";

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }

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

void read_notes(const SavedFile& file, const KdumpFile& bytes, const KdumpFacts& facts, ElfNotes& notes) {
  if (facts.notes_offset >= bytes.size()) {
    return;
  }
  const std::uint64_t size = std::min({facts.notes_size, bytes.size() - facts.notes_offset, kMaxNoteBytes});
  std::vector<std::byte> content(static_cast<std::size_t>(size));
  content.resize(bytes.read(file, facts.notes_offset, content));
  notes.read(content);
}

/// QEMU does not name 32-bit ARM and riscv64 in its files. Notes of a machine that is not known here are left
/// out.
std::uint16_t elf_machine(const KdumpFacts& facts) {
  const std::string machine = facts.machine();
  if (machine.starts_with("aarch64")) {
    return EM_AARCH64;
  }
  if (!facts.of_32_bit) {
    return machine.empty() || machine == "x86_64"           ? EM_X86_64
           : machine == "riscv64" || machine == kQemuNoName ? EM_RISCV
                                                            : EM_NONE;
  }
  return machine.size() == 4 && machine.starts_with('i') && machine.ends_with("86") ? EM_386 : EM_ARM;
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
    const auto facts = read_kdump_facts(file, *bytes);
    return facts ? open_pages(file, std::move(*bytes), *facts) : tl::unexpected{facts.error()};
  }

private:
  static Result<SavedImage> open_pages(const SavedFile& file, KdumpFile bytes, const KdumpFacts& facts) {
    const auto existing = read_bitmap(file, bytes, facts.bitmaps, facts.frames);
    auto stored = read_bitmap(file, bytes, facts.stored_bitmap(), facts.frames);
    if (!existing || !stored) {
      return damaged("the kdump file is cut off within its bitmaps, which say what is where");
    }
    ExtentBuilder extents{file.size()};
    if (auto added = add_runs(extents, *existing, facts.block_size); !added) {
      return tl::unexpected{std::move(added.error())};
    }
    SavedImage image{.description = facts.is_part ? "split kdump file" : "kdump file", .extents = {}};
    add_notes(file, bytes, facts, image);
    KdumpParts parts;
    if (facts.is_part) {
      parts = find_kdump_parts(file, facts);
      image.description += fmt::format(" in {} parts", parts.parts.size());
    } else {
      parts.parts.push_back({0, facts.frames, facts.descriptors(), {}});
    }
    auto pages = std::make_unique<KdumpPages>(std::move(bytes), std::move(*stored), facts.block_size,
                                              std::move(parts.parts));
    image.problem = pages->are_cut(file) ? "the file is cut off; pages that are missing are read as bad pages"
                                         : std::move(parts.problem);
    image.decoder = std::move(pages);
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

  static void add_notes(const SavedFile& file, const KdumpFile& bytes, const KdumpFacts& facts,
                        SavedImage& image) {
    ElfNotes notes{elf_machine(facts)};
    read_notes(file, bytes, facts, notes);
    if (!notes.writer().empty()) {
      image.description += fmt::format(" of {}", notes.writer());
    }
    image.registers = notes.registers();
    image.registers_from = notes.registers_from();
    image.release = notes.release();
  }
};

} // namespace

const SavedFormat& kdump_image_format() {
  static const KdumpFormat kFormat;
  return kFormat;
}

} // namespace vmemfs
