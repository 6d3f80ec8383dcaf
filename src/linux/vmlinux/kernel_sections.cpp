// SPDX-License-Identifier: MIT
#include "linux/vmlinux/kernel_sections.h"

#include <algorithm>
#include <elf.h>
#include <optional>
#include <string_view>

namespace vmemfs {
namespace {

using Content = KernelSection::Content;

struct Description {
  std::string_view name;
  std::string_view begin; ///< symbol
  std::string_view end;   ///< symbol
  std::uint32_t type;
  std::uint64_t flags;
  Content content;
};

// drgn takes for a kernel's file only one with a section .init.text that has bytes.
constexpr Description kDescriptions[] = {
    {".text", "_text", "_etext", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, Content::guest},
    {".rodata", "__start_rodata", "__end_rodata", SHT_PROGBITS, SHF_ALLOC, Content::guest},
    {".notes", "__start_notes", "__stop_notes", SHT_NOTE, SHF_ALLOC, Content::guest},
    {".BTF", "__start_BTF", "__stop_BTF", SHT_PROGBITS, SHF_ALLOC, Content::guest},
    {".data", "_sdata", "_edata", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, Content::guest},
    {".init.text", "_sinittext", "_einittext", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, Content::zeros},
    {".bss", "__bss_start", "__bss_stop", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, Content::nothing},
};

constexpr std::string_view kPerCpu = ".data..percpu";

KernelSection section_of(const Description& description, const AddressRange& range) {
  return {.section = {.name = description.name,
                      .type = description.type,
                      .flags = description.flags,
                      .address = range.begin},
          .range = range,
          .content = description.content};
}

std::optional<AddressRange> range_of(const LinkedSymbols& symbols, std::string_view begin,
                                     std::string_view end) {
  const auto first = symbols.find(begin);
  const auto last = symbols.find(end);
  if (!first || !last || *first >= *last || *last - *first > kMaxKernelBytes) {
    return std::nullopt;
  }
  return AddressRange{*first, *last};
}

bool is_too_large(const KernelSection& section) {
  return section.content == Content::zeros && section.range.size() > kMaxZerosBytes;
}

/// The area of a CPU, if it is linked at 0. Symbols at its end are in it too.
std::optional<KernelSection> per_cpu_section(const LinkedSymbols& symbols) {
  auto range = range_of(symbols, "__per_cpu_start", "__per_cpu_end");
  if (!range || range->begin != 0 || range->end > kMaxZerosBytes) {
    return std::nullopt;
  }
  range->end += sizeof(std::uint64_t);
  return section_of({kPerCpu, {}, {}, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, Content::zeros}, *range);
}

/// A section ends at the latest where the next one begins, as that of constants does at the notes.
void separate(std::vector<KernelSection>& sections) {
  std::ranges::stable_sort(sections, {}, [](const KernelSection& s) { return s.range.begin; });
  for (std::size_t i = 0; i + 1 < sections.size(); ++i) {
    sections[i].range.end = std::min(sections[i].range.end, sections[i + 1].range.begin);
  }
  std::erase_if(sections, [](const KernelSection& s) { return s.range.empty() || is_too_large(s); });
}

} // namespace

std::vector<KernelSection> kernel_sections(const LinkedSymbols& symbols, const AddressRange& image) {
  std::vector<KernelSection> sections;
  for (const Description& description : kDescriptions) {
    const auto range = range_of(symbols, description.begin, description.end);
    if (range && image.begin <= range->begin && range->end <= image.end) {
      sections.push_back(section_of(description, *range));
    }
  }
  separate(sections);
  if (const auto per_cpu = per_cpu_section(symbols); per_cpu && sections.size() >= 2) {
    sections.insert(sections.begin() + 1, *per_cpu);
  }
  return sections;
}

} // namespace vmemfs
