// SPDX-License-Identifier: MIT
#include "linux/vmlinux/linked_symbols.h"

#include <algorithm>

namespace vmemfs {

LinkedSymbols::LinkedSymbols(const KernelSymbols& symbols, std::uint64_t offset)
    : symbols_{symbols}, offset_{offset} {
  addresses_.reserve(symbols.all().size());
  for (const KernelSymbol& symbol : symbols.all()) {
    addresses_.push_back(linked(symbol.address));
  }
  if (!std::ranges::is_sorted(addresses_)) {
    std::ranges::sort(addresses_);
  }
}

std::optional<std::uint64_t> LinkedSymbols::find(std::string_view name) const {
  const auto address = symbols_.find(name);
  return address ? std::optional{linked(*address)} : std::nullopt;
}

AddressRange LinkedSymbols::extent(std::uint64_t address, std::uint64_t limit) const {
  const auto next = std::ranges::upper_bound(addresses_, address);
  return {address, next == addresses_.end() ? address : std::min(*next, limit)};
}

} // namespace vmemfs
