// SPDX-License-Identifier: MIT
// A string of a kernel, which ends with a zero byte.
#pragma once

#include "linux/kernel_memory.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs {

/// Its bytes are the guest's. nullopt: it cannot be read, or has no end within `max_bytes`.
[[nodiscard]] inline std::optional<std::string> kernel_string(KernelMemory& memory, std::uint64_t address,
                                                              std::size_t max_bytes) {
  std::string text;
  std::array<char, 64> piece{}; // small, as most are short and what is behind may not be readable
  while (text.size() <= max_bytes) {
    const std::size_t size = memory.read(address + text.size(), std::as_writable_bytes(std::span{piece}));
    const std::string_view found{piece.data(), size};
    const std::size_t end = found.find('\0');
    text += found.substr(0, end);
    if (end != std::string_view::npos) {
      return text.size() <= max_bytes ? std::optional{text} : std::nullopt;
    }
    if (size < piece.size()) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

} // namespace vmemfs
