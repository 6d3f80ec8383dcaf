// SPDX-License-Identifier: MIT
// A copy of one of a kernel's structures, taken in one read.
#pragma once

#include "linux/kernel_memory.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// Immutable.
class StructureCopy {
public:
  /// nullopt: some of it cannot be read.
  [[nodiscard]] static std::optional<StructureCopy> read(KernelMemory& memory, std::uint64_t address,
                                                         std::uint64_t size) {
    std::vector<std::byte> bytes(size);
    if (memory.read(address, bytes) != size) {
      return std::nullopt;
    }
    return StructureCopy{std::move(bytes)};
  }

  /// A number that is within the structure, little-endian.
  template <typename T> [[nodiscard]] T number(std::uint64_t offset) const {
    T value{};
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }
  [[nodiscard]] std::uint64_t pointer(std::uint64_t offset) const { return number<std::uint64_t>(offset); }
  /// The array of characters up to its zero byte. nullopt: it has none.
  [[nodiscard]] std::optional<std::string_view> text(std::uint64_t offset, std::uint64_t size) const {
    const std::string_view all{reinterpret_cast<const char*>(bytes_.data()) + offset, size};
    const std::size_t end = all.find('\0');
    return end == std::string_view::npos ? std::nullopt : std::optional{all.substr(0, end)};
  }

private:
  explicit StructureCopy(std::vector<std::byte> bytes) : bytes_{std::move(bytes)} {}

  std::vector<std::byte> bytes_;
};

} // namespace vmemfs
