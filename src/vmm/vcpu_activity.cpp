// SPDX-License-Identifier: MIT
#include "vmm/vcpu_activity.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";

/// The last number in the line "NSpid:" of a status file: the thread in its own pid namespace.
std::optional<pid_t> inner_number(std::string_view status) {
  constexpr std::string_view kKey = "\nNSpid:";
  const std::size_t at = status.find(kKey);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view rest = status.substr(at + kKey.size());
  const std::string_view line = trim(rest.substr(0, rest.find('\n')));
  const auto number = parse_u64(line.substr(line.find_last_of(" \t") + 1));
  return number ? std::optional{static_cast<pid_t>(*number)} : std::nullopt;
}

/// Directories of the threads of `pid`, by their numbers in their own pid namespace.
std::map<pid_t, std::string> thread_directories(pid_t pid) {
  std::map<pid_t, std::string> directories;
  std::error_code error;
  std::filesystem::directory_iterator entry{fmt::format("/proc/{}/task", pid), error};
  for (; !error && entry != std::filesystem::directory_iterator{}; entry.increment(error)) {
    const std::string directory = entry->path();
    const auto status = read_proc_file(directory + "/status");
    if (const auto number = status ? inner_number(*status) : std::nullopt) {
      directories.emplace(*number, directory);
    }
  }
  return directories;
}

/// Sum of the three numbers of a schedstat file: ns on a CPU, ns of waiting for one, number of times
/// scheduled. None of them ever decreases. The last one is incremented when the thread gets the CPU, before
/// any time is accounted, so a thread that is running now is detected too.
std::optional<std::uint64_t> counter_sum(int fd) {
  std::array<char, 96> text;
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  if (size <= 0) {
    return std::nullopt;
  }
  std::uint64_t sum = 0;
  const char* at = text.data();
  const char* const end = at + size;
  while (at < end && *at != '\n') {
    std::uint64_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc{}) {
      return std::nullopt;
    }
    sum += number;
    at = next < end && *next == ' ' ? next + 1 : next;
  }
  return sum;
}

/// The state from a stat file, its third field. The name before it may contain brackets.
bool is_asleep(int fd) {
  std::array<char, 128> text;
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  const std::string_view stat{text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  const std::size_t name_end = stat.rfind(") ");
  return name_end != std::string_view::npos && !stat.substr(name_end + 2).starts_with('R');
}

Result<UniqueFd> open_for_reading(const std::string& path) {
  UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) {
    return fail_errno(errno, kOrigin, fmt::format("cannot open {}", path));
  }
  return file;
}

} // namespace

Result<VcpuActivity::Files> VcpuActivity::open_files(const std::string& directory) {
  auto schedstat = open_for_reading(directory + "/schedstat");
  if (!schedstat) {
    return tl::unexpected{schedstat.error()};
  }
  if (counter_sum(schedstat->get()).value_or(0) == 0) { // a kernel without these counters shows zeros
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("{}/schedstat has no counts; the kernel needs CONFIG_SCHED_INFO", directory));
  }
  auto stat = open_for_reading(directory + "/stat");
  if (!stat) {
    return tl::unexpected{stat.error()};
  }
  return Files{std::move(*schedstat), std::move(*stat)};
}

Result<VcpuActivity> VcpuActivity::open(const Process& process, std::span<const pid_t> threads) {
  std::vector<pid_t> numbers{threads.begin(), threads.end()};
  std::ranges::sort(numbers);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  const auto directories = thread_directories(process.pid());
  std::vector<Files> files;
  for (const pid_t number : numbers) {
    const auto directory = directories.find(number);
    if (directory == directories.end()) {
      return fail(ErrorKind::not_found, kOrigin,
                  fmt::format("process {} has no thread {}", process.pid(), number));
    }
    auto opened = open_files(directory->second);
    if (!opened) {
      return tl::unexpected{opened.error()};
    }
    files.push_back(std::move(*opened));
  }
  if (files.empty()) {
    return fail(ErrorKind::not_found, kOrigin, "no vCPU threads");
  }
  if (!process.alive()) {
    return fail(ErrorKind::vm_gone, kOrigin, fmt::format("process {} has ended", process.pid()));
  }
  return VcpuActivity{std::move(numbers), std::move(files)};
}

std::optional<std::uint64_t> VcpuActivity::sample() const {
  std::uint64_t sum = 0;
  for (const Files& thread : files_) {
    const auto one = counter_sum(thread.schedstat.get());
    if (!one) {
      return std::nullopt;
    }
    sum += *one;
  }
  return sum;
}

bool VcpuActivity::all_asleep() const {
  return std::ranges::all_of(files_, [](const Files& thread) { return is_asleep(thread.stat.get()); });
}

} // namespace vmemfs
