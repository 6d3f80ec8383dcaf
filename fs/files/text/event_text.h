// SPDX-License-Identifier: MIT
// The text of events: one JSON object per line.
#pragma once

#include "vm/event_log.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace vmemfs {

/// {"time","vm","event","detail"} and a newline. Invalid UTF-8 is replaced.
[[nodiscard]] std::string event_line(const Event& event);

/// Reports to a reader that it missed this many events.
[[nodiscard]] std::string missed_line(std::uint64_t events, std::chrono::system_clock::time_point time);

/// `text` with invalid UTF-8 replaced by U+FFFD.
[[nodiscard]] std::string valid_utf8(std::string_view text);

} // namespace vmemfs
