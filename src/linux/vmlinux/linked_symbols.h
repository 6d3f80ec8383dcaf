// SPDX-License-Identifier: MIT
// The symbols of a kernel at the addresses that it was linked for, without KASLR.
#pragma once

#include "linux/symbols/kernel_symbols.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

namespace vmemfs {

/// Half-open.
struct AddressRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  [[nodiscard]] std::uint64_t size() const { return end - begin; }
  [[nodiscard]] bool empty() const { return begin >= end; }
  [[nodiscard]] bool contains(std::uint64_t address) const { return begin <= address && address < end; }
};

/// Immutable.
class LinkedSymbols {
public:
  /// `symbols`: outlives this object. `offset`: how far KASLR moved the kernel.
  LinkedSymbols(const KernelSymbols& symbols, std::uint64_t offset);

  [[nodiscard]] const KernelSymbols& symbols() const { return symbols_; }

  /// As linked; absolute ones are not moved.
  [[nodiscard]] std::uint64_t address(const KernelSymbol& symbol) const { return linked(symbol.address); }
  /// Of the global symbol with this name, or else of the only one; nullopt: there is none, or there are
  /// several. Faster than that of KernelSymbols, however many have the same name.
  [[nodiscard]] std::optional<std::uint64_t> find(std::string_view name) const;

  /// From this address to that of the next symbol, but not past `limit`. Empty if there is none.
  [[nodiscard]] AddressRange extent(std::uint64_t address, std::uint64_t limit) const;

private:
  struct Name {
    std::uint64_t prefix; ///< its first bytes as a number, which decides most comparisons
    std::string_view name;
    std::uint64_t address; ///< as linked

    [[nodiscard]] auto order() const { return std::tie(prefix, name); }
  };

  void sort_names();
  [[nodiscard]] std::uint64_t linked(std::uint64_t address) const {
    return address < KernelSymbol::kKernelHalf ? address : address - offset_;
  }

  const KernelSymbols& symbols_;
  const std::uint64_t offset_;
  std::vector<std::uint64_t> addresses_; ///< of all, sorted
  std::vector<Name> names_;              ///< those that one symbol has, sorted
};

} // namespace vmemfs
