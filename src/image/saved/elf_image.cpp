// SPDX-License-Identifier: MIT
#include "image/saved/elf_image.h"

#include "image/saved/elf_notes.h"
#include "image/saved/extent_builder.h"
#include "image/saved/xen/xen_core.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <elf.h>
#include <fmt/format.h>
#include <limits>
#include <type_traits>

namespace vmemfs {
namespace {

struct Elf32 {
  using Header = Elf32_Ehdr;
  using Segment = Elf32_Phdr;
  using Section = Elf32_Shdr;
};
struct Elf64 {
  using Header = Elf64_Ehdr;
  using Segment = Elf64_Phdr;
  using Section = Elf64_Shdr;
};

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }

/// The number of program headers, which has a place of its own if it is large.
template <typename Elf>
Result<std::uint64_t> segment_count(const SavedFile& file, const typename Elf::Header& header) {
  if (header.e_phnum != PN_XNUM) {
    return header.e_phnum;
  }
  const auto section = file.read_as<typename Elf::Section>(header.e_shoff);
  if (!section) {
    return damaged(
        "the ELF core is cut off within its headers; the number of its program headers is missing");
  }
  return section->sh_info;
}

template <typename Elf> Result<std::vector<typename Elf::Segment>>
read_segments(const SavedFile& file, const typename Elf::Header& header) {
  using Segment = typename Elf::Segment;
  const auto count = segment_count<Elf>(file, header);
  if (!count) {
    return tl::unexpected{count.error()};
  }
  if (*count == 0) {
    return damaged("the ELF core has no program headers, and not the sections of Xen's dump-core");
  }
  if (header.e_phentsize != sizeof(Segment)) {
    return damaged(fmt::format("the ELF core has program headers of {} bytes instead of {}",
                               header.e_phentsize, sizeof(Segment)));
  }
  if (header.e_phoff > file.size() || *count > (file.size() - header.e_phoff) / sizeof(Segment)) {
    return damaged("the ELF core is cut off within its program headers; they list what is where");
  }
  if (*count > kMaxImageRanges) {
    return damaged(fmt::format("the ELF core has more than {} program headers", kMaxImageRanges));
  }
  std::vector<Segment> segments(static_cast<std::size_t>(*count));
  const auto bytes = std::as_writable_bytes(std::span{segments});
  if (file.read(header.e_phoff, bytes) != bytes.size()) {
    return damaged("the program headers of the ELF core cannot be read");
  }
  return segments;
}

template <typename Segment>
void read_notes(const SavedFile& file, const std::vector<Segment>& segments, ElfNotes& notes) {
  std::uint64_t left = kMaxNoteBytes;
  for (const Segment& segment : segments) {
    if (segment.p_type != PT_NOTE || segment.p_offset >= file.size()) {
      continue;
    }
    const std::uint64_t size =
        std::min({std::uint64_t{segment.p_filesz}, file.size() - segment.p_offset, left});
    left -= size;
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    bytes.resize(file.read(segment.p_offset, bytes));
    notes.read(bytes);
  }
}

/// The core of a process has only virtual addresses.
template <typename Segment> bool has_physical_addresses(const std::vector<Segment>& segments) {
  const auto loads =
      std::ranges::count_if(segments, [](const Segment& s) { return s.p_type == PT_LOAD && s.p_filesz > 0; });
  const bool all_zero =
      std::ranges::all_of(segments, [](const Segment& s) { return s.p_type != PT_LOAD || s.p_paddr == 0; });
  return loads < 2 || !all_zero;
}

template <typename Segment> Result<void> add_segment(ExtentBuilder& extents, const Segment& segment) {
  constexpr auto kNone = std::numeric_limits<decltype(segment.p_paddr)>::max();
  // Without bytes in the file it is a device's range (VirtualBox) or was left out by a filter.
  if (segment.p_type != PT_LOAD || segment.p_paddr == kNone || segment.p_filesz == 0 ||
      segment.p_memsz == 0) {
    return {};
  }
  const std::uint64_t stored = std::min(segment.p_filesz, segment.p_memsz);
  if (extents.has(segment.p_paddr, stored)) { // a second, virtual address of memory: its tail is no memory
    return {};
  }
  auto added = extents.add(segment.p_paddr, stored, ExtentKind::stored, segment.p_offset);
  if (!added || stored == segment.p_memsz) {
    return added;
  }
  // add() has checked the first sum.
  return extents.add(segment.p_paddr + stored, segment.p_memsz - stored, ExtentKind::absent,
                     segment.p_offset + stored);
}

template <typename Elf> Result<SavedImage> open_core(const SavedFile& file) {
  const auto header = file.read_as<typename Elf::Header>(0);
  if (!header) {
    return damaged("the ELF core is cut off within its first header");
  }
  if (header->e_type != ET_CORE) {
    return damaged("it is an ELF file but not a core; format=raw takes any file");
  }
  if constexpr (std::is_same_v<Elf, Elf64>) {
    if (is_xen_core(*header)) {
      return open_xen_core(file, *header);
    }
  }
  const auto segments = read_segments<Elf>(file, *header);
  if (!segments) {
    return tl::unexpected{segments.error()};
  }
  if (!has_physical_addresses(*segments)) {
    return damaged("it is the core of a process, not of a machine: it has no physical addresses");
  }
  ExtentBuilder extents{file.size()};
  for (const auto& segment : *segments) {
    if (auto added = add_segment(extents, segment); !added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  ElfNotes notes{header->e_machine};
  read_notes(file, *segments, notes);
  SavedImage image{.description = "ELF core", .extents = {}};
  if (!notes.writer().empty()) {
    image.description += fmt::format(" of {}", notes.writer());
  }
  image.registers = notes.registers();
  image.registers_from = notes.registers_from();
  image.release = notes.release();
  return finish_image(std::move(image), std::move(extents));
}

class ElfFormat : public SavedFormat {
public:
  std::string_view name() const override { return "elf"; }

  bool matches(std::span<const std::byte> head) const override {
    return head.size() >= SELFMAG && std::memcmp(head.data(), ELFMAG, SELFMAG) == 0;
  }

  Result<SavedImage> open(const SavedFile& file) const override {
    const auto ident = file.read_as<std::array<unsigned char, EI_NIDENT>>(0);
    if (!ident) {
      return damaged("the ELF core is cut off within its first header");
    }
    if ((*ident)[EI_DATA] != ELFDATA2LSB) {
      return fail(ErrorKind::unsupported, "dump", "the ELF core is not little-endian; no other is supported");
    }
    return (*ident)[EI_CLASS] == ELFCLASS32 ? open_core<Elf32>(file) : open_core<Elf64>(file);
  }
};

} // namespace

const SavedFormat& elf_image_format() {
  static const ElfFormat kFormat;
  return kFormat;
}

Result<ElfMachineNotes> elf_machine_notes(const SavedFile& file) {
  const auto header = file.read_as<Elf64_Ehdr>(0);
  if (!header) {
    return damaged("the ELF core is cut off within its first header");
  }
  const auto segments = read_segments<Elf64>(file, *header);
  if (!segments) {
    return tl::unexpected{segments.error()};
  }
  ElfMachineNotes result{.machine = header->e_machine};
  const auto segment = std::ranges::find(*segments, Elf64_Word{PT_NOTE}, &Elf64_Phdr::p_type);
  if (segment == segments->end()) {
    return result;
  }
  if (segment->p_filesz > kMaxNoteBytes) {
    return damaged(fmt::format("the ELF core has more than {} bytes of notes", kMaxNoteBytes));
  }
  result.notes.resize(static_cast<std::size_t>(segment->p_filesz));
  if (file.read(segment->p_offset, result.notes) != result.notes.size()) {
    return damaged("the ELF core is cut off within its notes");
  }
  return result;
}

} // namespace vmemfs
