// SPDX-License-Identifier: MIT
#include "image/saved/xen/xen_core.h"

#include "arch/x86_64/registers.h"
#include "image/saved/elf_notes.h"
#include "image/saved/extent_builder.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using Sections = std::map<std::string, Elf64_Shdr, std::less<>>;

constexpr std::size_t kMaxSections = 64; ///< there are 8
constexpr std::size_t kMaxName = 64;
constexpr std::uint64_t kNoPage = ~std::uint64_t{0};
constexpr std::uint64_t kMaxPages = kMaxImageGpa / kPageSize;

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }

/// By their names, which are at the end of the file.
Result<Sections> read_sections(const SavedFile& file, const Elf64_Ehdr& header) {
  if (header.e_shnum > kMaxSections || header.e_shentsize != sizeof(Elf64_Shdr) ||
      header.e_shstrndx >= header.e_shnum || header.e_shoff >= kMaxImageGpa) {
    return damaged("the ELF core has no program headers, and its sections are not those of Xen's dump-core");
  }
  std::vector<Elf64_Shdr> headers(header.e_shnum);
  const auto bytes = std::as_writable_bytes(std::span{headers});
  if (file.read(header.e_shoff, bytes) != bytes.size()) {
    return damaged("the ELF core is cut off within its section headers");
  }
  const Elf64_Shdr& names = headers[header.e_shstrndx];
  Sections sections;
  for (const Elf64_Shdr& section : headers) {
    std::array<char, kMaxName> name{};
    if (section.sh_name >= names.sh_size || names.sh_offset >= file.size()) {
      return damaged(
          "the core of Xen is cut off: the names of its sections, at its end, are missing, and with "
          "them the list of which page is where");
    }
    static_cast<void>(file.read(names.sh_offset + section.sh_name, std::as_writable_bytes(std::span{name})));
    const std::string_view text{name.data(), name.size()};
    sections.emplace(text.substr(0, text.find('\0')), section);
  }
  return sections;
}

const Elf64_Shdr* find(const Sections& sections, std::string_view name) {
  const auto found = sections.find(name);
  return found == sections.end() ? nullptr : &found->second;
}

/// Pages that follow one another, in the guest and in the file.
struct Run {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::uint64_t offset = 0;
};

Result<void> add_run(ExtentBuilder& extents, const Run& run) {
  return run.count == 0
             ? Result<void>{}
             : extents.add(run.first * kPageSize, run.count * kPageSize, ExtentKind::stored, run.offset);
}

/// Entry i of the table names page i of those that are stored. `entry_numbers`: 64-bit numbers in an entry,
/// of which the first is the page's.
Result<void> add_pages(const SavedFile& file, const Elf64_Shdr& pages, const Elf64_Shdr& table,
                       std::size_t entry_numbers, ExtentBuilder& extents) {
  const std::uint64_t entry_bytes = entry_numbers * sizeof(std::uint64_t);
  const std::uint64_t in_file = file.size() - std::min(file.size(), table.sh_offset);
  const std::uint64_t count =
      std::min(pages.sh_size / kPageSize, std::min(table.sh_size, in_file) / entry_bytes);
  if (count < pages.sh_size / kPageSize || pages.sh_offset >= kMaxImageGpa) {
    return damaged("the core of Xen is cut off within the list of which page is where, or damaged");
  }
  constexpr std::size_t kAtOnce = 4096;
  std::vector<std::uint64_t> entries(kAtOnce * entry_numbers);
  Run run;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto within = static_cast<std::size_t>(i % kAtOnce);
    if (within == 0) {
      const auto bytes = std::as_writable_bytes(std::span{entries});
      static_cast<void>(file.read(table.sh_offset + i * entry_bytes, bytes));
    }
    const std::uint64_t page = entries[within * entry_numbers];
    if (page == kNoPage) { // a place that is not used
      continue;
    }
    const std::uint64_t offset = pages.sh_offset + i * kPageSize;
    if (page >= kMaxPages) {
      return damaged(
          fmt::format("the core of Xen has a page number {:#x}, which is beyond all memory", page));
    }
    if (run.count > 0 && page == run.first + run.count && offset == run.offset + run.count * kPageSize) {
      ++run.count;
      continue;
    }
    if (auto added = add_run(extents, run); !added) {
      return added;
    }
    run = {page, 1, offset};
  }
  return add_run(extents, run);
}

// ---- struct vcpu_guest_context of x86-64

constexpr std::size_t kContextBytes = 5168;

using enum x86_64::Register;

struct ContextField {
  std::uint16_t offset;
  std::uint8_t size;
  x86_64::Register reg;
};

constexpr ContextField kFields[] = {
    {520, 8, r15},         {528, 8, r14},         {536, 8, r13},         {544, 8, r12},
    {552, 8, rbp},         {560, 8, rbx},         {568, 8, r11},         {576, 8, r10},
    {584, 8, r9},          {592, 8, r8},          {600, 8, rax},         {608, 8, rcx},
    {616, 8, rdx},         {624, 8, rsi},         {632, 8, rdi},         {648, 8, rip},
    {656, 2, cs_selector}, {664, 8, rflags},      {672, 8, rsp},         {680, 2, ss_selector},
    {688, 2, es_selector}, {696, 2, ds_selector}, {704, 2, fs_selector}, {712, 2, gs_selector},
};

/// Of PV guests CR3 is the number of a page of the host, which no address of the guest is.
constexpr ContextField kControlFields[] = {
    {4984, 8, cr0},
    {5000, 8, cr2},
    {5008, 8, cr3},
    {5016, 8, cr4},
};

void set_fields(RegisterSet& set, std::span<const std::byte> context, std::span<const ContextField> fields) {
  for (const ContextField& field : fields) {
    std::uint64_t value = 0;
    std::memcpy(&value, context.data() + field.offset, field.size);
    set.set(field.reg, value);
  }
}

void read_registers(const SavedFile& file, const Sections& sections, bool paravirtual, SavedImage& image) {
  const Elf64_Shdr* const section = find(sections, ".xen_prstatus");
  if (section == nullptr || section->sh_entsize != kContextBytes || section->sh_offset >= kMaxImageGpa) {
    return;
  }
  const std::uint64_t count = std::min<std::uint64_t>(section->sh_size / kContextBytes, kMaxDumpVcpus);
  std::vector<std::byte> context(kContextBytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (file.read(section->sh_offset + i * kContextBytes, context) != context.size()) {
      break;
    }
    RegisterSet set{x86_64::register_layout()};
    set_fields(set, context, kFields);
    if (!paravirtual) {
      set_fields(set, context, kControlFields);
    }
    image.registers.push_back(set);
  }
  image.registers_from =
      paravirtual ? "the vCPUs' contexts of Xen, without control registers" : "the vCPUs' contexts of Xen";
}

} // namespace

Result<SavedImage> open_xen_core(const SavedFile& file, const Elf64_Ehdr& header) {
  const auto sections = read_sections(file, header);
  if (!sections) {
    return tl::unexpected{sections.error()};
  }
  const Elf64_Shdr* const pages = find(*sections, ".xen_pages");
  const Elf64_Shdr* const translated = find(*sections, ".xen_pfn");
  const Elf64_Shdr* const paravirtual = find(*sections, ".xen_p2m");
  if (pages == nullptr || (translated == nullptr && paravirtual == nullptr)) {
    return damaged(
        "the ELF core has no program headers, and not the sections of Xen's dump-core: .xen_pages, and "
        ".xen_pfn or .xen_p2m");
  }
  const bool is_paravirtual = translated == nullptr;
  ExtentBuilder extents{file.size()};
  const auto added = is_paravirtual ? add_pages(file, *pages, *paravirtual, 2, extents)
                                    : add_pages(file, *pages, *translated, 1, extents);
  if (!added) {
    return tl::unexpected{added.error()};
  }
  SavedImage image{.description = is_paravirtual ? "core of Xen (PV)" : "core of Xen", .extents = {}};
  if (header.e_machine == EM_X86_64) {
    read_registers(file, *sections, is_paravirtual, image);
  }
  return finish_image(std::move(image), std::move(extents));
}

} // namespace vmemfs
