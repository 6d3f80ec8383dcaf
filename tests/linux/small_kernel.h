// SPDX-License-Identifier: MIT
// A kernel of 64 KiB, moved by KASLR, and the file that is made of it.
#pragma once

#include "linux/btf/types.h"
#include "linux/btf_builder.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/vmlinux/vmlinux.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::test {

struct SmallKernel {
  static constexpr std::uint64_t kLinked = 0xffff'ffff'8100'0000;
  static constexpr std::uint64_t kOffset = 0x1230'0000;
  static constexpr std::uint64_t kAddress = kLinked + kOffset;
  static constexpr std::uint64_t kSize = 0x1'0000;
  static constexpr Gpa kMemory{0x60'0000};

  struct Symbol {
    std::uint64_t address; ///< as linked
    char type;
    std::string_view name;
  };

  /// As Linux 6.1 orders them.
  std::vector<Symbol> symbols{
      {0, 'A', "__per_cpu_start"},
      {0x40, 'D', "this_cpu"},
      {0x80, 'A', "__per_cpu_end"},
      {kLinked, 'T', "_text"},
      {kLinked + 0x100, 'T', "open_file"},
      {kLinked + 0x180, 't', "twice"},
      {kLinked + 0x1c0, 't', "twice"},
      {kLinked + 0x200, 'W', "weak"},
      {kLinked + 0x1ff2, 'T', "_etext"},
      {kLinked + 0x2000, 'D', "__start_rodata"},
      {kLinked + 0x2000, 'D', "linux_banner"},
      {kLinked + 0x3a70, 'R', "__start_notes"},
      {kLinked + 0x3a94, 'R', "__stop_notes"},
      {kLinked + 0x3aa0, 'R', "__start_BTF"},
      {kLinked + 0x4000, 'R', "__stop_BTF"},
      {kLinked + 0x5000, 'D', "__end_rodata"},
      {kLinked + 0x6000, 'D', "_sdata"},
      {kLinked + 0x6010, 'd', "init_task"},
      {kLinked + 0x6040, 'd', "last_data"},
      {kLinked + 0x7800, 'D', "_edata"},
      {kLinked + 0x8000, 'T', "_sinittext"},
      {kLinked + 0x8010, 't', "boot_only"},
      {kLinked + 0x8800, 'T', "_einittext"},
      {kLinked + 0x9000, 'B', "__bss_start"},
      {kLinked + 0xb000, 'B', "__bss_stop"},
      {kLinked + 0xc000, 'B', "_end"},
  };
  BtfBuilder btf;
  std::string build_id = "0123456789abcdef0123456789abcdef01234567";
  GpaRange image{kMemory, kMemory + kSize};

  /// Each 8 bytes are their own address, but for what is put there.
  std::vector<std::byte> memory = [] {
    std::vector<std::byte> bytes(kSize);
    for (std::uint64_t at = 0; at < kSize; at += sizeof at) {
      store_le(std::span{bytes}, at, kAddress + at);
    }
    return bytes;
  }();

  SmallKernel() { // a note as the linker makes it: sizes of name and content, type "build id"
    using namespace std::string_view_literals;
    put(kLinked + 0x3a70, "\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0"
                          "\xfe\xdc\xba\x98\x76\x54\x32\x10\xfe\xdc"
                          "\xba\x98\x76\x54\x32\x10\xfe\xdc\xba\x98"sv);
  }

  /// `address`: as linked.
  void put(std::uint64_t address, std::string_view bytes) {
    std::memcpy(memory.data() + (address - kLinked), bytes.data(), bytes.size());
  }

  void erase(std::string_view name) {
    std::erase_if(symbols, [&](const Symbol& symbol) { return symbol.name == name; });
  }

  [[nodiscard]] ElfFile make(bool has_types = true) const {
    std::vector<KernelSymbols::Entry> entries;
    std::string names;
    for (const auto& [address, type, name] : symbols) {
      names += name;
      entries.push_back({address < KernelSymbol::kKernelHalf ? address : address + kOffset,
                         static_cast<std::uint32_t>(names.size()), type});
    }
    const KernelSymbols table{std::move(entries), std::move(names)};
    const auto types = btf::Types::parse(btf.bytes());
    return make_vmlinux({.symbols = table,
                         .types = has_types && types ? types->get() : nullptr,
                         .image = image,
                         .image_address = kAddress,
                         .kaslr_offset = kOffset,
                         .build_id = build_id});
  }

  /// The bytes of the file, with guest memory in them.
  [[nodiscard]] std::string content(const ElfFile& file) const {
    std::string bytes;
    for (const ImageLayout::Part& part : file.layout.parts_from(0)) {
      const bool is_made = part.source == ImageLayout::Source::made;
      const auto& source = is_made ? file.made : memory;
      const std::uint64_t begin = is_made ? part.source_begin : part.source_begin - kMemory.value();
      bytes.append(reinterpret_cast<const char*>(source.data()) + begin, part.size());
    }
    return bytes;
  }
};

} // namespace vmemfs::test
