// SPDX-License-Identifier: MIT
// Sizes and times as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace vmemfs {

/// Such as "512 bytes", "64.0 MiB" and "1.5 GiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// Such as "0.4 s", "12 s", "3:05 min" and "2:10:00 h".
[[nodiscard]] std::string time_text(std::chrono::milliseconds time);

} // namespace vmemfs
