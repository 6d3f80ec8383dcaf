// SPDX-License-Identifier: MIT
// A copy of the kernel's memory around its kallsyms tables.
#pragma once

#include "linux/kernel_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace vmemfs::kallsyms {

/// Immutable. Addresses are the kernel's; one outside of the window has no value.
class Window {
public:
  /// Copies [begin, end), or as much as can be read from `begin` on.
  Window(KernelMemory& memory, std::uint64_t begin, std::uint64_t end) : begin_{begin}, bytes_(end - begin) {
    bytes_.resize(memory.read(begin, bytes_));
  }

  [[nodiscard]] std::uint64_t begin() const { return begin_; }
  [[nodiscard]] std::uint64_t end() const { return begin_ + bytes_.size(); }

  /// [address, address + size); empty if a byte of it is not there.
  [[nodiscard]] std::span<const std::byte> bytes(std::uint64_t address, std::uint64_t size) const {
    if (address < begin() || address > end() || size > end() - address) {
      return {};
    }
    return std::span{bytes_}.subspan(address - begin_, size);
  }
  /// From the address to the end of the window.
  [[nodiscard]] std::span<const std::byte> from(std::uint64_t address) const {
    return address < begin() || address > end() ? std::span<const std::byte>{}
                                                : std::span{bytes_}.subspan(address - begin_);
  }

  /// Little-endian.
  template <typename T> [[nodiscard]] std::optional<T> number(std::uint64_t address) const {
    const auto found = bytes(address, sizeof(T));
    if (found.empty()) {
      return std::nullopt;
    }
    std::uint64_t value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) {
      value = value << 8U | std::to_integer<std::uint64_t>(found[i]);
    }
    return static_cast<T>(value);
  }

private:
  const std::uint64_t begin_;
  std::vector<std::byte> bytes_;
};

} // namespace vmemfs::kallsyms
