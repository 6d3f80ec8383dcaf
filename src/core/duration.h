// SPDX-License-Identifier: MIT
// Units of durations, as users write them and as messages show them.
#pragma once

#include <array>
#include <chrono>
#include <string>
#include <string_view>

namespace vmemfs {

struct DurationUnit {
  std::string_view name;
  std::chrono::milliseconds length;
};

/// From the shortest on.
inline constexpr std::array kDurationUnits{
    DurationUnit{"ms", std::chrono::milliseconds{1}}, DurationUnit{"s", std::chrono::seconds{1}},
    DurationUnit{"m", std::chrono::minutes{1}},       DurationUnit{"h", std::chrono::hours{1}},
    DurationUnit{"d", std::chrono::days{1}},
};

/// The form that parse_duration() takes, for messages and help.
inline constexpr std::string_view kDurationForm = "a number with ms, s, m, h or d";

/// In the largest unit of which it is a multiple: 1500ms, 2s, 1d.
[[nodiscard]] std::string duration_text(std::chrono::milliseconds duration);

} // namespace vmemfs
