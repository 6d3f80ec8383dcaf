// SPDX-License-Identifier: MIT
#include "linux/vmlinux/vmlinux.h"

#include "linux/vmlinux/byte_writer.h"
#include "linux/vmlinux/dwarf/unit.h"
#include "linux/vmlinux/kernel_sections.h"
#include "linux/vmlinux/linked_symbols.h"
#include "linux/vmlinux/symbol_table.h"

#include <algorithm>
#include <charconv>
#include <elf.h>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// The image as it was linked; empty if there is no such place in the kernel's half of the address space.
AddressRange linked_image(const VmlinuxSource& source) {
  const std::uint64_t begin = source.image_address - source.kaslr_offset;
  if (source.image.empty() || source.image_address < source.kaslr_offset ||
      begin < KernelSymbol::kKernelHalf) {
    return {};
  }
  const std::uint64_t size = std::min({source.image.size(), kMaxKernelBytes, ~begin});
  return {begin, begin + size};
}

/// Empty if the text is not pairs of hexadecimal digits.
std::vector<std::byte> bytes_of_hex(std::string_view text) {
  constexpr std::size_t kMaxDigits = 128;
  constexpr int kHex = 16;
  if (text.size() > kMaxDigits || text.size() % 2 != 0) {
    return {};
  }
  std::vector<std::byte> bytes;
  for (; !text.empty(); text.remove_prefix(2)) {
    std::uint8_t value = 0;
    const char* const end = text.data() + 2;
    if (const auto read = std::from_chars(text.data(), end, value, kHex); read.ptr != end) {
      return {};
    }
    bytes.push_back(std::byte{value});
  }
  return bytes;
}

class Vmlinux {
public:
  explicit Vmlinux(const VmlinuxSource& source)
      : source_{source}, image_{linked_image(source)},
        symbols_{source.symbols, image_.empty() ? 0 : source.kaslr_offset},
        sections_{kernel_sections(symbols_, image_)}, writer_{source.machine} {}

  ElfFile make() && {
    for (const KernelSection& section : sections_) {
      add(section);
    }
    add_symbols();
    add_build_id();
    add_types();
    return std::move(writer_).finish();
  }

private:
  void add(const KernelSection& section) {
    switch (section.content) {
    case KernelSection::Content::guest: {
      const Gpa begin = source_.image.begin + (section.range.begin - image_.begin);
      writer_.add_guest(section.section, {begin, begin + section.range.size()});
      break;
    }
    case KernelSection::Content::zeros: writer_.add_zeros(section.section, section.range.size()); break;
    case KernelSection::Content::nothing:
      writer_.add_without_content(section.section, section.range.size());
      break;
    }
  }

  /// The sections of the kernel come first, so that their indices are as the table expects.
  void add_symbols() {
    const SymbolTable table = make_symbol_table(symbols_, sections_);
    const std::uint32_t names = writer_.add_made({.name = ".strtab", .type = SHT_STRTAB}, table.names);
    writer_.add_made({.name = ".symtab",
                      .type = SHT_SYMTAB,
                      .link = names,
                      .info = table.first_global,
                      .entry_bytes = sizeof(Elf64_Sym)},
                     table.symbols);
  }

  [[nodiscard]] bool has(std::string_view name) const {
    return std::ranges::any_of(sections_, [&](const KernelSection& s) { return s.section.name == name; });
  }

  void add_build_id() {
    const std::vector<std::byte> id = bytes_of_hex(source_.build_id);
    if (has(".notes") || id.empty()) {
      return;
    }
    std::vector<std::byte> note;
    add_elf_note(note, "GNU", NT_GNU_BUILD_ID, id);
    writer_.add_made({.name = ".note.gnu.build-id", .type = SHT_NOTE}, note);
  }

  void add_types() {
    if (source_.types == nullptr || source_.types->bytes().size() > dwarf::kMaxBtfBytes) {
      return;
    }
    if (!has(".BTF")) {
      writer_.add_made({.name = ".BTF", .type = SHT_PROGBITS}, source_.types->bytes());
    }
    const dwarf::Sections dwarf = dwarf::make_unit(*source_.types, symbols_, image_);
    writer_.add_made({.name = ".debug_abbrev", .type = SHT_PROGBITS}, dwarf.abbreviations);
    writer_.add_made({.name = ".debug_info", .type = SHT_PROGBITS}, dwarf.info);
    writer_.add_made({.name = ".debug_str", .type = SHT_PROGBITS}, dwarf.strings);
  }

  const VmlinuxSource& source_;
  const AddressRange image_; ///< as linked
  const LinkedSymbols symbols_;
  const std::vector<KernelSection> sections_;
  ElfWriter writer_;
};

} // namespace

ElfFile make_vmlinux(const VmlinuxSource& source) { return Vmlinux{source}.make(); }

} // namespace vmemfs
