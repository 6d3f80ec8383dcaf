// SPDX-License-Identifier: MIT
#include "linux/printk/log_text.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint64_t kNsPerMicrosecond = 1'000;

/// Other control characters than these could move the cursor of a terminal.
bool is_plain(char c) { return (c >= ' ' && c <= '~') || c == '\t'; }

} // namespace

void LogText::add(std::uint64_t time_ns, std::string_view message) {
  if (is_full()) {
    ++lost_;
    return;
  }
  if (message.empty()) { // dmesg gives it no time either
    text_ += '\n';
    return;
  }
  const std::string time =
      fmt::format("[{:5}.{:06}] ", time_ns / kNsPerSecond, time_ns % kNsPerSecond / kNsPerMicrosecond);
  if (message.ends_with('\n')) {
    message.remove_suffix(1);
  }
  text_ += time;
  for (const char c : message) {
    if (c == '\n') {
      text_ += c;
      text_.append(time.size(), ' ');
    } else if (is_plain(c)) {
      text_ += c;
    } else {
      text_ += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  text_ += '\n';
}

std::string LogText::finish() && {
  if (lost_ > 0) {
    text_ += fmt::format("# incomplete: {} record{} could not be read\n", lost_, lost_ == 1 ? "" : "s");
  }
  return std::move(text_);
}

} // namespace vmemfs
