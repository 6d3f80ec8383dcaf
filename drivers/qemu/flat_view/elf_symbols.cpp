// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/elf_symbols.h"

#include "core/gpa.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <elf.h>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "elf";

/// Far above the size in any QEMU; bound the memory and the time that a hostile file, which may be sparse,
/// can make vmemfs use.
constexpr std::uint64_t kMaxStringTable = std::uint64_t{32} << 20;
constexpr std::uint64_t kMaxSymbols = std::uint64_t{4} << 20;
constexpr std::size_t kMaxNameOffsets = 1024;
constexpr std::size_t kMaxProgramHeaders = 1024;

tl::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorKind::invalid, kOrigin, fmt::format("damaged ELF file: {}", what));
}

template <typename T> std::optional<T> read_value(const ElfReadAt& read_at, std::uint64_t offset) {
  T value;
  if (!read_at(offset, std::as_writable_bytes(std::span{&value, 1}))) {
    return std::nullopt;
  }
  return value;
}

/// Offset of entry `index` of a table; nullopt on overflow.
std::optional<std::uint64_t> entry_offset(std::uint64_t table, std::uint64_t index,
                                          std::uint64_t entry_size) {
  std::uint64_t offset = 0;
  if (__builtin_mul_overflow(index, entry_size, &offset) || __builtin_add_overflow(table, offset, &offset)) {
    return std::nullopt;
  }
  return offset;
}

template <typename T>
std::optional<T> read_entry(const ElfReadAt& read_at, std::uint64_t table, std::uint64_t index) {
  const auto offset = entry_offset(table, index, sizeof(T));
  return offset ? read_value<T>(read_at, *offset) : std::nullopt;
}

/// Offsets in a string table at which `name` starts and ends in a NUL, sorted. Linkers let names share their
/// ends, so one may also be the end of a longer name.
Result<std::vector<std::uint64_t>> name_offsets(const ElfReadAt& read_at, const Elf64_Shdr& strings,
                                                std::string_view name) {
  if (strings.sh_type != SHT_STRTAB || strings.sh_size > kMaxStringTable) {
    return damaged("bad string table");
  }
  std::string table(strings.sh_size, '\0');
  if (!read_at(strings.sh_offset, std::as_writable_bytes(std::span{table}))) {
    return damaged("string table past the end");
  }
  const std::string wanted = std::string{name} + '\0';
  std::vector<std::uint64_t> offsets;
  for (std::size_t at = table.find(wanted); at != std::string::npos; at = table.find(wanted, at + 1)) {
    if (offsets.size() == kMaxNameOffsets) {
      return damaged(
          fmt::format("the name {} is in its string table more than {} times", name, kMaxNameOffsets));
    }
    offsets.push_back(at);
  }
  return offsets;
}

/// The first defined symbol with its name at one of `names`, which are sorted.
Result<std::optional<ElfSymbol>> scan_symbols(const ElfReadAt& read_at, const Elf64_Shdr& symbols,
                                              const std::vector<std::uint64_t>& names) {
  const std::uint64_t count = symbols.sh_size / sizeof(Elf64_Sym);
  if (symbols.sh_entsize != sizeof(Elf64_Sym) || count > kMaxSymbols) {
    return damaged("bad symbol table");
  }
  std::vector<Elf64_Sym> chunk(2048);
  for (std::uint64_t first = 0; first < count && !names.empty(); first += chunk.size()) {
    if (WorkLimit::over()) {
      return WorkLimit::exceeded(kOrigin);
    }
    chunk.resize(std::min<std::uint64_t>(chunk.size(), count - first));
    const auto offset = entry_offset(symbols.sh_offset, first, sizeof(Elf64_Sym));
    if (!offset || !read_at(*offset, std::as_writable_bytes(std::span{chunk}))) {
      return damaged("symbol table past the end");
    }
    for (const Elf64_Sym& symbol : chunk) {
      if (symbol.st_shndx != SHN_UNDEF && std::ranges::binary_search(names, symbol.st_name)) {
        return ElfSymbol{symbol.st_value, symbol.st_size};
      }
    }
  }
  return std::nullopt;
}

bool is_supported(const Elf64_Ehdr& header) {
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
         header.e_ident[EI_DATA] == ELFDATA2LSB && (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

} // namespace

ElfReadAt elf_bytes(std::span<const std::byte> bytes) {
  return [bytes](std::uint64_t offset, std::span<std::byte> buffer) {
    if (offset > bytes.size() || buffer.size() > bytes.size() - offset) {
      return false;
    }
    std::ranges::copy(bytes.subspan(offset, buffer.size()), buffer.begin());
    return true;
  };
}

ElfReadAt elf_fd(int fd) {
  return [fd](std::uint64_t offset, std::span<std::byte> buffer) {
    while (!buffer.empty()) {
      const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got <= 0) {
        return false;
      }
      offset += static_cast<std::uint64_t>(got);
      buffer = buffer.subspan(static_cast<std::size_t>(got));
    }
    return true;
  };
}

Result<ElfFile> ElfFile::open(ElfReadAt read_at) {
  const auto header = read_value<Elf64_Ehdr>(read_at, 0);
  if (!header || !is_supported(*header)) {
    return fail(ErrorKind::invalid, kOrigin, "not a little-endian 64-bit ELF executable");
  }
  if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum > kMaxProgramHeaders) {
    return damaged("bad program headers");
  }
  ElfFile file{std::move(read_at)};
  file.pie_ = header->e_type == ET_DYN;
  if (header->e_shoff != 0 && header->e_shentsize == sizeof(Elf64_Shdr)) {
    file.section_table_ = header->e_shoff;
    file.section_count_ = header->e_shnum;
  }
  // Loadable segments are sorted by address (elf(5)), so the first one is the lowest.
  for (std::uint64_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = read_entry<Elf64_Phdr>(file.read_at_, header->e_phoff, i);
    if (!segment) {
      return damaged("program headers past the end");
    }
    if (segment->p_type == PT_LOAD) {
      file.first_load_offset_ = segment->p_offset & ~(kPageSize - 1);
      file.first_load_address_ = segment->p_vaddr & ~(kPageSize - 1);
      return file;
    }
  }
  return damaged("no loadable segment");
}

Result<ElfSymbol> ElfFile::find_symbol(std::string_view name) const {
  for (const Elf64_Word type : {Elf64_Word{SHT_DYNSYM}, Elf64_Word{SHT_SYMTAB}}) {
    bool done =
        false; // a file has at most one section of each type (elf(5)); others would cost time without limit
    for (std::uint32_t i = 0; i < section_count_ && !done; ++i) {
      if (WorkLimit::over()) {
        return WorkLimit::exceeded(kOrigin);
      }
      const auto section = read_entry<Elf64_Shdr>(read_at_, section_table_, i);
      if (!section) {
        return damaged("section headers past the end");
      }
      if (section->sh_type != type) {
        continue;
      }
      done = true;
      const auto strings = read_entry<Elf64_Shdr>(read_at_, section_table_, section->sh_link);
      if (!strings || section->sh_link >= section_count_) {
        return damaged("symbols without names");
      }
      const auto names = name_offsets(read_at_, *strings, name);
      if (!names) {
        return tl::unexpected{names.error()};
      }
      const auto symbol = scan_symbols(read_at_, *section, *names);
      if (!symbol) {
        return tl::unexpected{symbol.error()};
      }
      if (*symbol) {
        return **symbol;
      }
    }
  }
  return fail(ErrorKind::not_found, kOrigin, fmt::format("no symbol {}", name));
}

} // namespace vmemfs::qemu
