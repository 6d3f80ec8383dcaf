// SPDX-License-Identifier: MIT
#include "host/userfault.h"

#include "core/text.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <fmt/format.h>
#include <optional>

namespace vmemfs {
namespace {

constexpr std::string_view kFlags = "VmFlags:";

/// "BEGIN-END ...", the first line of an area.
std::optional<HvaRange> parse_header(std::string_view line) {
  const std::string_view range = line.substr(0, line.find(' '));
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto begin = parse_hex(range.substr(0, dash));
  const auto end = parse_hex(range.substr(dash + 1));
  if (!begin || !end) {
    return std::nullopt;
  }
  return HvaRange{*begin, *end};
}

bool has_userfaultfd(pid_t pid, const std::vector<int>& fds) {
  return std::ranges::any_of(fds, [pid](int fd) {
    const auto target = fd_target(pid, fd);
    return target && *target == "anon_inode:[userfaultfd]";
  });
}

} // namespace

Result<std::vector<HvaRange>> parse_userfault_ranges(std::string_view smaps) {
  std::vector<HvaRange> ranges;
  HvaRange current;
  for (const std::string_view line : split(smaps, '\n')) {
    if (line.starts_with(kFlags)) {
      const auto flags = split(line.substr(kFlags.size()), ' ');
      if (std::ranges::find(flags, "um") != flags.end()) {
        ranges.push_back(current);
      }
    } else if (!line.empty() && std::isupper(static_cast<unsigned char>(line.front())) == 0) {
      const auto header = parse_header(line);
      if (!header) {
        return fail(ErrorKind::invalid, "proc", fmt::format("malformed smaps line: {}", printable(line)));
      }
      current = *header;
    }
  }
  return ranges;
}

Result<std::vector<HvaRange>> userfault_ranges(const ProcessSpace& space) {
  const auto fds = list_fds(space.pid());
  if (!fds || !has_userfaultfd(space.pid(), *fds)) {
    return std::vector<HvaRange>{};
  }
  const auto text = read_proc_file(fmt::format("/proc/{}/smaps", space.pid()));
  if (!text) {
    return tl::unexpected{text.error()};
  }
  return parse_userfault_ranges(*text);
}

bool UserfaultWatch::any(const ProcessSpace& space) {
  constexpr std::size_t kMaxFds = 4096;
  const std::int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
  const std::int64_t checked = checked_ns_;
  if (checked == 0 || now - checked > kMaxAgeNs) {
    const auto fds = list_fds(space.pid(), kMaxFds + 1);
    found_ = !fds || fds->size() > kMaxFds || has_userfaultfd(space.pid(), *fds);
    checked_ns_ = now;
  }
  return found_;
}

} // namespace vmemfs
