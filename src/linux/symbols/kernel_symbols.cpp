// SPDX-License-Identifier: MIT
#include "linux/symbols/kernel_symbols.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace vmemfs {
namespace {

bool is_global(char type) { return type >= 'A' && type <= 'Z'; }

} // namespace

KernelSymbols::KernelSymbols(const std::vector<Entry>& entries, std::string names)
    : names_{std::move(names)}, by_name_(entries.size()) {
  symbols_.reserve(entries.size());
  std::size_t begin = 0;
  for (const Entry& entry : entries) {
    symbols_.push_back(
        {entry.address, std::string_view{names_}.substr(begin, entry.name_end - begin), entry.type});
    begin = entry.name_end;
  }
  std::iota(by_name_.begin(), by_name_.end(), 0U);
  std::ranges::stable_sort(by_name_, {}, [this](std::uint32_t index) { return symbols_[index].name; });
}

std::optional<std::uint64_t> KernelSymbols::find(std::string_view name) const {
  const auto same = std::ranges::equal_range(by_name_, name, {},
                                             [this](std::uint32_t index) { return symbols_[index].name; });
  const auto global =
      std::ranges::find_if(same, [this](std::uint32_t index) { return is_global(symbols_[index].type); });
  if (global != same.end()) {
    return symbols_[*global].address;
  }
  return same.size() == 1 ? std::optional{symbols_[same.front()].address} : std::nullopt;
}

std::size_t KernelSymbols::bytes() const {
  return names_.capacity() + symbols_.capacity() * sizeof(KernelSymbol) +
         by_name_.capacity() * sizeof(std::uint32_t);
}

} // namespace vmemfs
