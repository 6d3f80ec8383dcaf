// SPDX-License-Identifier: MIT
// Events as users see them: one JSON object a line.
#pragma once

#include "vm/event_log.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace vmemfs {

/// {"time","vm","event","detail"} and a newline. What is no UTF-8 is replaced.
[[nodiscard]] std::string event_line(const Event& event);

/// Tells a reader that so many events came and went before it read them.
[[nodiscard]] std::string missed_line(std::uint64_t events, std::chrono::system_clock::time_point time);

/// `text` with what is no UTF-8 replaced by U+FFFD.
[[nodiscard]] std::string valid_utf8(std::string_view text);

} // namespace vmemfs
