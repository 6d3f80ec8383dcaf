// SPDX-License-Identifier: MIT
#include "fs/files/text/process_stats.h"

#include "core/text.h"
#include "host/process.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <unistd.h>

namespace vmemfs {
namespace {

tl::unexpected<Error> not_understood(std::string_view file) {
  return fail(ErrorKind::source_failed, "proc", std::string{file} + " has not the form that is known");
}

/// Field `number` of /proc/PID/stat, counted from 1 as in proc(5). The second is a name in parentheses that
/// may contain blanks.
std::optional<std::uint64_t> stat_field(std::string_view stat, std::size_t number) {
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) {
    return std::nullopt;
  }
  const auto fields = split(trim(stat.substr(name_end + 1)), ' ');
  constexpr std::size_t kFirst = 3;
  return number - kFirst < fields.size() ? parse_u64(fields[number - kFirst]) : std::nullopt;
}

/// The boot time of the machine, in seconds since the Unix epoch.
std::optional<std::uint64_t> boot_time() {
  const auto stat = read_proc_file("/proc/stat");
  constexpr std::string_view kKey = "btime ";
  for (const std::string_view line : split(stat ? *stat : std::string_view{}, '\n')) {
    if (line.starts_with(kKey)) {
      return parse_u64(trim(line.substr(kKey.size())));
    }
  }
  return std::nullopt;
}

std::uint64_t open_fds() {
  std::error_code error;
  const std::filesystem::directory_iterator fds{"/proc/self/fd", error};
  return error ? 0 : static_cast<std::uint64_t>(std::distance(begin(fds), end(fds)));
}

} // namespace

Result<ProcessStats> process_stats() {
  constexpr std::size_t kUserTime = 14;
  constexpr std::size_t kSystemTime = 15;
  constexpr std::size_t kThreads = 20;
  constexpr std::size_t kStartTime = 22;
  constexpr std::size_t kResidentPages = 24;
  const auto stat = read_proc_file("/proc/self/stat");
  if (!stat) {
    return tl::unexpected{stat.error()};
  }
  const auto user = stat_field(*stat, kUserTime);
  const auto system = stat_field(*stat, kSystemTime);
  const auto threads = stat_field(*stat, kThreads);
  const auto start = stat_field(*stat, kStartTime);
  const auto resident = stat_field(*stat, kResidentPages);
  const auto boot = boot_time();
  if (!user || !system || !threads || !start || !resident || !boot) {
    return not_understood("/proc/self/stat");
  }
  const auto seconds = [per_second = static_cast<double>(::sysconf(_SC_CLK_TCK))](std::uint64_t ticks) {
    return static_cast<double>(ticks) / per_second;
  };
  return ProcessStats{.cpu_seconds = seconds(*user + *system),
                      .resident_bytes = *resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
                      .open_fds = open_fds(),
                      .threads = *threads,
                      .start_time_seconds = static_cast<double>(*boot) + seconds(*start)};
}

} // namespace vmemfs
