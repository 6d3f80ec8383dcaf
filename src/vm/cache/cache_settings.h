// SPDX-License-Identifier: MIT
// Cache settings of a VM, as the user sets them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vmemfs {

enum class CacheMode : unsigned char {
  automatic, ///< on if, by the driver, reading costs more than answering
  on,
  off,
};

struct CacheSettings {
  CacheMode mode = CacheMode::automatic;
  std::chrono::milliseconds ttl{0};       ///< max age of pages of a running VM
  std::optional<std::uint64_t> size = {}; ///< fixed size in bytes; else a fair share
};

/// "auto", "on" or "off".
[[nodiscard]] constexpr std::string_view to_string(CacheMode mode) {
  switch (mode) {
  case CacheMode::automatic: return "auto";
  case CacheMode::on: return "on";
  case CacheMode::off: return "off";
  }
  return "unknown";
}

} // namespace vmemfs
