// SPDX-License-Identifier: MIT
#include "linux/vmlinux/symbol_table.h"

#include "linux/vmlinux/byte_writer.h"

#include <algorithm>
#include <elf.h>
#include <iterator>
#include <utility>

namespace vmemfs {
namespace {

/// Of the letters of nm(1).
unsigned binding_of(char type) {
  if (type == 'w' || type == 'W' || type == 'v' || type == 'V') {
    return STB_WEAK;
  }
  return type >= 'A' && type <= 'Z' ? STB_GLOBAL : STB_LOCAL;
}

unsigned type_of(char type) {
  return type == 't' || type == 'T' || type == 'w' || type == 'W' ? STT_FUNC : STT_OBJECT;
}

class Table {
public:
  Table(const LinkedSymbols& symbols, std::span<const KernelSection> sections) : symbols_{symbols} {
    for (std::size_t i = 0; i < sections.size(); ++i) {
      places_.push_back({sections[i].range, static_cast<std::uint16_t>(i + 1)});
    }
    std::ranges::sort(places_, {}, [](const Place& place) { return place.range.begin; });
    table_.zeros(sizeof(Elf64_Sym)); // the null symbol that every table has
    names_.text({});
  }

  void add(const KernelSymbol& symbol) {
    const std::uint64_t address = symbols_.address(symbol);
    const Place place = place_of(address, symbol.absolute());
    table_.number(static_cast<std::uint32_t>(names_.size()));
    table_.number(static_cast<std::uint8_t>(ELF64_ST_INFO(binding_of(symbol.type), type_of(symbol.type))));
    table_.number(std::uint8_t{STV_DEFAULT});
    table_.number(place.index);
    table_.number(address);
    table_.number(place.range.contains(address) ? symbols_.extent(address, place.range.end).size()
                                                : std::uint64_t{0});
    names_.text(symbol.name);
  }

  [[nodiscard]] std::uint32_t count() const {
    return static_cast<std::uint32_t>(table_.size() / sizeof(Elf64_Sym));
  }

  SymbolTable take(std::uint32_t first_global) && {
    return {std::move(table_).take(), std::move(names_).take(), first_global};
  }

private:
  struct Place {
    AddressRange range;
    std::uint16_t index;
  };

  [[nodiscard]] Place place_of(std::uint64_t address, bool absolute) const {
    const auto next =
        std::ranges::upper_bound(places_, address, {}, [](const Place& place) { return place.range.begin; });
    if (next == places_.begin()) {
      return {{}, SHN_ABS};
    }
    const Place& place = *std::prev(next);
    const bool is_behind = !absolute && place.range.begin >= KernelSymbol::kKernelHalf;
    return is_behind || place.range.contains(address) ? place : Place{{}, SHN_ABS};
  }

  const LinkedSymbols& symbols_;
  std::vector<Place> places_; ///< sorted
  ByteWriter table_;
  ByteWriter names_;
};

} // namespace

SymbolTable make_symbol_table(const LinkedSymbols& symbols, std::span<const KernelSection> sections) {
  const auto all = symbols.symbols().all();
  const auto used = all.first(std::min(all.size(), kMaxElfSymbols));
  Table table{symbols, sections};
  for (const KernelSymbol& symbol : used) {
    if (binding_of(symbol.type) == STB_LOCAL) {
      table.add(symbol);
    }
  }
  const std::uint32_t first_global = table.count();
  for (const KernelSymbol& symbol : used) {
    if (binding_of(symbol.type) != STB_LOCAL) {
      table.add(symbol);
    }
  }
  return std::move(table).take(first_global);
}

} // namespace vmemfs
