// SPDX-License-Identifier: MIT
// The symbols of a Linux kernel, without those of modules, as its kallsyms tables have them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

struct KernelSymbol {
  std::uint64_t address; ///< at run time: with the offset of KASLR
  std::string_view name; ///< not unique
  char type;             ///< as of nm(1): upper case if it is global

  /// Of kernels before 6.15: an offset in a per-CPU area, or another absolute number, which KASLR does not
  /// move.
  [[nodiscard]] bool absolute() const { return address < kKernelHalf; }

  static constexpr std::uint64_t kKernelHalf = std::uint64_t{1} << 63U;
};

/// Immutable.
class KernelSymbols {
public:
  struct Entry {
    std::uint64_t address;
    std::uint32_t name_end; ///< where its name ends in `names`; it begins where that before it ends
    char type;
  };

  /// `entries` in the order of the kernel's table, which is by address. `names` has all names, one behind
  /// the other.
  KernelSymbols(const std::vector<Entry>& entries, std::string names);
  ~KernelSymbols() = default;
  KernelSymbols(const KernelSymbols&) = delete;
  KernelSymbols& operator=(const KernelSymbols&) = delete;

  [[nodiscard]] std::span<const KernelSymbol> all() const { return symbols_; } ///< in the table's order

  /// The address of the global symbol with this name, or else of the only one; nullopt: there is none, or
  /// there are several local ones.
  [[nodiscard]] std::optional<std::uint64_t> find(std::string_view name) const;

  [[nodiscard]] std::size_t names_bytes() const { return names_.size(); } ///< of all names together

  /// Memory that this object takes, in bytes.
  [[nodiscard]] std::size_t bytes() const;

private:
  const std::string names_;
  std::vector<KernelSymbol> symbols_;
  std::vector<std::uint32_t> by_name_; ///< indices of symbols_
};

} // namespace vmemfs
