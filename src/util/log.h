// SPDX-License-Identifier: MIT
// Logging: one line per event, to standard error or to syslog. Thread-safe.
//
// Levels: error = a requested operation failed; warning = works, but in a limited way; info = changes to a
// guest by vmemfs (pauses, resumes, writes); debug = everything else, including attach and detach
// (EventLog).
#pragma once

#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace vmemfs::log {

enum class Level { debug, info, warning, error };

/// Selects syslog, for the daemon in the background. Standard error is the default.
void to_syslog();
void set_level(Level level);
[[nodiscard]] bool enabled(Level level);

void write(Level level, std::string_view text);

template <typename... Args> void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) {
    write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args> void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args> void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args> void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace vmemfs::log
