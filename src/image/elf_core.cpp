// SPDX-License-Identifier: MIT
#include "image/elf_core.h"

#include "core/little_endian.h"

#include <algorithm>
#include <elf.h>
#include <iterator>
#include <optional>

namespace vmemfs {
namespace {

constexpr std::size_t kNoteAlign = 4;

std::size_t aligned(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }

std::size_t program_headers(const ElfCoreShape& shape) { return 1 + shape.ranges + shape.max_virtual; }

/// More program headers than e_phnum can count: the number is in a section header.
bool needs_section(const ElfCoreShape& shape) { return program_headers(shape) >= PN_XNUM; }

std::size_t section_begin(const ElfCoreShape& shape) {
  return sizeof(Elf64_Ehdr) + program_headers(shape) * sizeof(Elf64_Phdr);
}

std::size_t notes_begin(const ElfCoreShape& shape) {
  return section_begin(shape) + (needs_section(shape) ? sizeof(Elf64_Shdr) : 0);
}

/// Writes program headers one behind the other.
class ProgramHeaders {
public:
  explicit ProgramHeaders(std::span<std::byte> bytes) : rest_{bytes} {}

  void add(std::uint32_t type, std::uint64_t offset, std::uint64_t vaddr, std::uint64_t paddr,
           std::uint64_t file_bytes, std::uint64_t memory_bytes) {
    store_le(rest_, offsetof(Elf64_Phdr, p_type), type);
    store_le(rest_, offsetof(Elf64_Phdr, p_flags),
             type == PT_LOAD ? std::uint32_t{PF_R | PF_W | PF_X} : std::uint32_t{0});
    store_le(rest_, offsetof(Elf64_Phdr, p_offset), offset);
    store_le(rest_, offsetof(Elf64_Phdr, p_vaddr), vaddr);
    store_le(rest_, offsetof(Elf64_Phdr, p_paddr), paddr);
    store_le(rest_, offsetof(Elf64_Phdr, p_filesz), file_bytes);
    store_le(rest_, offsetof(Elf64_Phdr, p_memsz), memory_bytes);
    skip();
  }
  /// Leaves one PT_NULL.
  void skip() { rest_ = rest_.subspan(sizeof(Elf64_Phdr)); }

private:
  std::span<std::byte> rest_;
};

void write_elf_header(std::span<std::byte> bytes, const ElfCoreShape& shape, ElfMachine machine) {
  const std::uint8_t ident[] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  std::ranges::transform(ident, bytes.begin(), [](std::uint8_t byte) { return std::byte{byte}; });
  store_le(bytes, offsetof(Elf64_Ehdr, e_type), std::uint16_t{ET_CORE});
  store_le(bytes, offsetof(Elf64_Ehdr, e_machine), static_cast<std::uint16_t>(machine));
  store_le(bytes, offsetof(Elf64_Ehdr, e_version), std::uint32_t{EV_CURRENT});
  store_le(bytes, offsetof(Elf64_Ehdr, e_phoff), std::uint64_t{sizeof(Elf64_Ehdr)});
  store_le(bytes, offsetof(Elf64_Ehdr, e_ehsize), std::uint16_t{sizeof(Elf64_Ehdr)});
  store_le(bytes, offsetof(Elf64_Ehdr, e_phentsize), std::uint16_t{sizeof(Elf64_Phdr)});
  store_le(bytes, offsetof(Elf64_Ehdr, e_phnum),
           static_cast<std::uint16_t>(needs_section(shape) ? PN_XNUM : program_headers(shape)));
  if (needs_section(shape)) {
    store_le(bytes, offsetof(Elf64_Ehdr, e_shoff), std::uint64_t{section_begin(shape)});
    store_le(bytes, offsetof(Elf64_Ehdr, e_shentsize), std::uint16_t{sizeof(Elf64_Shdr)});
    store_le(bytes, offsetof(Elf64_Ehdr, e_shnum), std::uint16_t{1});
    store_le(bytes, section_begin(shape) + offsetof(Elf64_Shdr, sh_info),
             static_cast<std::uint32_t>(program_headers(shape)));
  }
}

/// The positions of the ranges in the file, which are sorted.
class RangePositions {
public:
  RangePositions(std::uint64_t begin, std::span<const GpaRange> ranges) : ranges_{ranges} {
    for (const GpaRange& range : ranges) {
      positions_.push_back(begin);
      begin += range.size();
    }
  }

  [[nodiscard]] std::uint64_t of(std::size_t range) const { return positions_[range]; }

  /// Of memory that lies in one of the ranges.
  [[nodiscard]] std::optional<std::uint64_t> of(const GpaRange& memory) const {
    const auto next = std::ranges::upper_bound(ranges_, memory.begin, {}, &GpaRange::begin);
    if (next == ranges_.begin() || memory.end > std::prev(next)->end) {
      return std::nullopt;
    }
    const auto index = static_cast<std::size_t>(std::prev(next) - ranges_.begin());
    return positions_[index] + (memory.begin - ranges_[index].begin);
  }

private:
  std::span<const GpaRange> ranges_;
  std::vector<std::uint64_t> positions_;
};

} // namespace

std::uint64_t ElfCoreShape::header_bytes() const {
  return aligned(notes_begin(*this) + max_note_bytes, kPageSize);
}

std::size_t elf_note_bytes(std::string_view name, std::size_t content_bytes) {
  return sizeof(Elf64_Nhdr) + aligned(name.size() + 1, kNoteAlign) + aligned(content_bytes, kNoteAlign);
}

void add_elf_note(std::vector<std::byte>& notes, std::string_view name, std::uint32_t type,
                  std::span<const std::byte> content) {
  const std::size_t begin = notes.size();
  notes.resize(begin + elf_note_bytes(name, content.size()));
  const auto note = std::span{notes}.subspan(begin);
  store_le(note, offsetof(Elf64_Nhdr, n_namesz), static_cast<std::uint32_t>(name.size() + 1));
  store_le(note, offsetof(Elf64_Nhdr, n_descsz), static_cast<std::uint32_t>(content.size()));
  store_le(note, offsetof(Elf64_Nhdr, n_type), type);
  std::ranges::copy(std::as_bytes(std::span{name}), note.begin() + sizeof(Elf64_Nhdr));
  const std::size_t content_begin = sizeof(Elf64_Nhdr) + aligned(name.size() + 1, kNoteAlign);
  std::ranges::copy(content, note.subspan(content_begin).begin());
}

std::vector<std::byte> elf_core_header(const ElfCoreShape& shape, const ElfCore& core) {
  std::vector<std::byte> bytes(shape.header_bytes());
  write_elf_header(bytes, shape, core.machine);
  ProgramHeaders headers{std::span{bytes}.subspan(sizeof(Elf64_Ehdr))};
  if (core.notes.empty() || core.notes.size() > shape.max_note_bytes) {
    headers.skip();
  } else {
    headers.add(PT_NOTE, notes_begin(shape), 0, 0, core.notes.size(), core.notes.size());
    std::ranges::copy(core.notes, std::span{bytes}.subspan(notes_begin(shape)).begin());
  }
  const RangePositions positions{bytes.size(), core.ranges};
  for (std::size_t i = 0; i < core.ranges.size(); ++i) {
    const GpaRange& range = core.ranges[i];
    headers.add(PT_LOAD, positions.of(i), range.begin.value(), range.begin.value(), range.size(),
                range.size());
  }
  const std::size_t virtual_count = std::min(core.virtual_ranges.size(), shape.max_virtual);
  for (const ElfVirtualRange& range : std::span{core.virtual_ranges}.first(virtual_count)) {
    if (const auto at = positions.of(range.memory)) {
      headers.add(PT_LOAD, *at, range.address, range.memory.begin.value(), range.memory.size(),
                  range.memory.size() + kPageSize);
    }
  }
  return bytes;
}

} // namespace vmemfs
