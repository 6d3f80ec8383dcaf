// SPDX-License-Identifier: MIT
#include "linux/symbols/token_table.h"

#include "linux/landmarks/image_search.h"

#include <algorithm>
#include <functional>

namespace vmemfs::kallsyms {
namespace {

/// Tokens are single characters unless they stand for more, and digits always stand for themselves.
constexpr std::string_view kDigits{"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0", 20};
constexpr std::size_t kFirstDigit = '0';

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_printable(std::string_view token) {
  return std::ranges::all_of(token, [](char c) { return c > ' ' && c <= '~'; });
}

/// Where the table begins: kFirstDigit texts before.
std::optional<std::uint64_t> begin_of(const Window& window, std::uint64_t digits) {
  constexpr std::size_t kMaxBytes = 16384;
  std::uint64_t address = digits;
  std::size_t ends = 0; // zero bytes that were passed: each ends a text
  while (address > window.begin() && digits - address < kMaxBytes) {
    if (window.number<std::uint8_t>(address - 1) == 0 && ++ends > kFirstDigit) {
      return address;
    }
    --address;
  }
  return std::nullopt;
}

/// Whether 256 numbers at `address` are these.
bool is_index(const Window& window, std::uint64_t address,
              const std::array<std::uint16_t, kTokens>& positions) {
  for (std::size_t i = 0; i < kTokens; ++i) {
    if (window.number<std::uint16_t>(address + i * sizeof(std::uint16_t)) != positions[i]) {
      return false;
    }
  }
  return true;
}

} // namespace

void for_each_digits(KernelMemory& memory, KernelImageRange image,
                     const std::function<bool(std::uint64_t)>& found) {
  for_each_place(memory, image, kDigits, found);
}

std::optional<TokenTable> token_table_at(const Window& window, std::uint64_t digits) {
  constexpr std::uint64_t kAlignment = 4;
  constexpr std::uint64_t kMaxPadding = 16;
  const auto begin = begin_of(window, digits);
  if (!begin || *begin % kAlignment != 0) {
    return std::nullopt;
  }
  TokenTable table{.begin = *begin, .index_end = 0, .tokens = {}};
  std::array<std::uint16_t, kTokens> positions{};
  std::string_view rest = text_of(window.from(*begin));
  const std::size_t all = rest.size();
  for (std::size_t i = 0; i < kTokens; ++i) {
    const std::size_t size = rest.find('\0');
    const std::size_t position = all - rest.size();
    if (size == std::string_view::npos || position > UINT16_MAX || !is_printable(rest.substr(0, size))) {
      return std::nullopt;
    }
    positions[i] = static_cast<std::uint16_t>(position);
    table.tokens[i] = rest.substr(0, size);
    rest.remove_prefix(size + 1);
  }
  const std::uint64_t end = *begin + (all - rest.size());
  for (std::uint64_t index = (end + 1) & ~std::uint64_t{1}; index <= end + kMaxPadding; index += 2) {
    if (is_index(window, index, positions)) {
      table.index_end = index + kTokens * sizeof(std::uint16_t);
      return table;
    }
  }
  return std::nullopt;
}

} // namespace vmemfs::kallsyms
