// SPDX-License-Identifier: MIT
#include "linux/vmlinux/linked_symbols.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace vmemfs {
namespace {

bool is_global(char type) { return type >= 'A' && type <= 'Z'; }

std::uint64_t prefix_of(std::string_view name) {
  std::uint64_t prefix = 0;
  for (std::size_t i = 0; i < sizeof prefix; ++i) {
    prefix = prefix << 8U | (i < name.size() ? static_cast<unsigned char>(name[i]) : 0U);
  }
  return prefix;
}

} // namespace

LinkedSymbols::LinkedSymbols(const KernelSymbols& symbols, std::uint64_t offset)
    : symbols_{symbols}, offset_{offset} {
  addresses_.reserve(symbols.all().size());
  for (const KernelSymbol& symbol : symbols.all()) {
    addresses_.push_back(linked(symbol.address));
  }
  if (!std::ranges::is_sorted(addresses_)) {
    std::ranges::sort(addresses_);
  }
  sort_names();
}

void LinkedSymbols::sort_names() {
  const auto all = symbols_.all();
  std::vector<std::pair<Name, bool>> sorted; // with whether it is global
  sorted.reserve(all.size());
  for (const KernelSymbol& symbol : all) {
    sorted.push_back({{prefix_of(symbol.name), symbol.name, address(symbol)}, is_global(symbol.type)});
  }
  std::ranges::stable_sort(sorted, {}, [](const auto& entry) { return entry.first.order(); });
  for (auto begin = sorted.begin(); begin != sorted.end();) {
    const auto is_other = [&](const auto& entry) { return entry.first.order() != begin->first.order(); };
    const auto end = std::find_if(begin, sorted.end(), is_other);
    const auto global = std::find_if(begin, end, [](const auto& entry) { return entry.second; });
    if (global != end || end - begin == 1) {
      names_.push_back((global != end ? global : begin)->first);
    }
    begin = end;
  }
}

std::optional<std::uint64_t> LinkedSymbols::find(std::string_view name) const {
  const std::uint64_t prefix = prefix_of(name);
  const auto found = std::ranges::lower_bound(names_, std::tie(prefix, name), {}, &Name::order);
  return found != names_.end() && found->name == name ? std::optional{found->address} : std::nullopt;
}

AddressRange LinkedSymbols::extent(std::uint64_t address, std::uint64_t limit) const {
  const auto next = std::ranges::upper_bound(addresses_, address);
  return {address, next == addresses_.end() ? address : std::max(address, std::min(*next, limit))};
}

} // namespace vmemfs
