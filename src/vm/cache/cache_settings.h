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
  /// Whether files that are opened while the guest is paused are read through the kernel's page cache.
  /// `automatic`: if nobody but vmemfs is expected to resume it, and the host has room for it.
  CacheMode kernel = CacheMode::automatic;
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

/// The mode of that name.
[[nodiscard]] constexpr std::optional<CacheMode> cache_mode(std::string_view name) {
  for (const CacheMode mode : {CacheMode::automatic, CacheMode::on, CacheMode::off}) {
    if (name == to_string(mode)) {
      return mode;
    }
  }
  return std::nullopt;
}

} // namespace vmemfs
