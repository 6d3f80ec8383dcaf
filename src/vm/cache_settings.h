// How a VM's memory is to be cached, as the user has it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vmemfs {

enum class CacheMode : unsigned char {
  automatic, ///< where the driver says that reading costs more than answering
  on,
  off,
};

struct CacheSettings {
  CacheMode mode = CacheMode::automatic;
  std::chrono::milliseconds ttl{0};       ///< how old pages of a running VM may be
  std::optional<std::uint64_t> size = {}; ///< bytes of its own; else a fair share
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
