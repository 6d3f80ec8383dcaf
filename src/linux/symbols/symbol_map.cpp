// SPDX-License-Identifier: MIT
#include "linux/symbols/symbol_map.h"

#include <array>
#include <string_view>

namespace vmemfs {
namespace {

constexpr std::size_t kDigits = 16;

std::array<char, kDigits> hex(std::uint64_t value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr unsigned kBits = 4;
  std::array<char, kDigits> digits{};
  for (std::size_t i = kDigits; i-- > 0; value >>= kBits) {
    digits[i] = kHex[value % kDigits];
  }
  return digits;
}

} // namespace

std::size_t symbol_map_bytes(const KernelSymbols& symbols) {
  constexpr std::size_t kBesidesName = kDigits + sizeof " T \n" - 1;
  return symbols.names_bytes() + symbols.all().size() * kBesidesName;
}

std::string symbol_map(const KernelSymbols& symbols, std::uint64_t offset) {
  std::string text;
  text.reserve(symbol_map_bytes(symbols));
  for (const KernelSymbol& symbol : symbols.all()) {
    const auto digits = hex(symbol.absolute() ? symbol.address : symbol.address - offset);
    text.append(digits.data(), digits.size());
    text += ' ';
    text += symbol.type;
    text += ' ';
    text += symbol.name;
    text += '\n';
  }
  return text;
}

} // namespace vmemfs
