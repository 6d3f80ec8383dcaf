// Logging: one line an event, to standard error or to syslog. Thread-safe.
//
// Levels: error = something the user asked for failed; warning = works, but not as well as it could;
// info = attach, detach, writes; debug = every decision.
#pragma once

#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace vmemfs::log {

enum class Level { debug, info, warning, error };

/// Where lines go. Standard error is the default; syslog is for the daemon in the background.
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
