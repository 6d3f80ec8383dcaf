// SPDX-License-Identifier: MIT
#include "fs/save/size_text.h"

#include <array>
#include <fmt/format.h>

namespace vmemfs {

std::string size_text(std::uint64_t bytes) {
  constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
  constexpr double kStep = 1024;
  if (bytes < 1024) {
    return fmt::format("{} bytes", bytes);
  }
  double value = static_cast<double>(bytes) / kStep;
  std::size_t unit = 0;
  while (value >= kStep && unit + 1 < kUnits.size()) {
    value /= kStep;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string time_text(std::chrono::milliseconds time) {
  constexpr std::chrono::seconds kWithFraction{10};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  if (time < kWithFraction) {
    return fmt::format("{:.1f} s", std::chrono::duration<double>{time}.count());
  }
  if (seconds < 60) {
    return fmt::format("{} s", seconds);
  }
  if (seconds < 3600) {
    return fmt::format("{}:{:02} min", seconds / 60, seconds % 60);
  }
  return fmt::format("{}:{:02}:{:02} h", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

} // namespace vmemfs
