// SPDX-License-Identifier: MIT
#include "host/process.h"

#include "core/text.h"

#include <cerrno>
#include <charconv>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";

/// Start time is field 22; the name (field 2) is in brackets, and field 3 follows it.
constexpr std::size_t kStartTimeAfterName = 22 - 3;

tl::unexpected<Error> gone(pid_t pid) {
  return fail(ErrorKind::vm_gone, kOrigin, fmt::format("process {} has ended", pid));
}

// By number: the declarations of glibc 2.36 are not usable from C++.
UniqueFd pidfd_open(pid_t pid) { return UniqueFd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))}; }

/// Names of the entries of a directory that are numbers, at most `limit` of them.
template <typename T> Result<std::vector<T>>
list_numbers(const std::string& path, std::size_t limit = std::numeric_limits<std::size_t>::max()) {
  const auto close = [](DIR* dir) { ::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close)> dir{::opendir(path.c_str()), close};
  if (!dir) {
    return fail_errno(errno, kOrigin, fmt::format("cannot list {}", path));
  }
  std::vector<T> numbers;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): safe, as no other thread has this directory stream
  while (const dirent* const entry = numbers.size() < limit ? ::readdir(dir.get()) : nullptr) {
    const std::string_view name{entry->d_name};
    T number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && end == name.data() + name.size()) {
      numbers.push_back(number);
    }
  }
  return numbers;
}

Result<std::string> read_link(const std::string& path) {
  std::string target(4096, '\0');
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot read {}", path));
  }
  target.resize(static_cast<std::size_t>(size));
  return target;
}

int yama_scope() {
  const auto text = read_proc_file("/proc/sys/kernel/yama/ptrace_scope");
  const auto scope = text ? parse_u64(trim(*text)) : std::nullopt;
  return scope ? static_cast<int>(*scope) : 0;
}

} // namespace

Result<Process> Process::open(pid_t pid) {
  // First the pidfd, then /proc: if the process is alive at the end, both belong to the same one.
  UniqueFd pidfd = pidfd_open(pid);
  if (!pidfd) {
    const int error = errno;
    if (error == ESRCH || error == EINVAL) {
      return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no process {}", pid));
    }
    return fail_errno(error, kOrigin, fmt::format("cannot watch process {}", pid));
  }
  const auto stat = read_proc_file(fmt::format("/proc/{}/stat", pid));
  if (!stat) {
    return stat.error().kind == ErrorKind::not_found ? gone(pid) : tl::unexpected{stat.error()};
  }
  const auto start_time = parse_start_time(*stat);
  if (!start_time) {
    return tl::unexpected{start_time.error()};
  }
  Process process{pid, std::move(pidfd), *start_time};
  if (!process.alive()) {
    return gone(pid);
  }
  return process;
}

std::chrono::milliseconds Process::age() const {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  constexpr std::uint64_t kMillis = 1000;
  static const auto kTicksPerSecond = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  const auto since_boot = std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
  return std::chrono::duration_cast<std::chrono::milliseconds>(since_boot) -
         std::chrono::milliseconds{start_time_ * kMillis / kTicksPerSecond};
}

bool Process::alive() const {
  pollfd wait{pidfd_.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&wait, 1, 0);
  } while (ready < 0 && errno == EINTR);
  return ready == 0;
}

UniqueFd Process::duplicate_fd(int fd) const {
  return UniqueFd{static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd_.get(), fd, 0))};
}

std::string process_key(const Process& process) {
  return fmt::format("process {}.{}", process.pid(), process.start_time());
}

std::vector<pid_t> list_pids() { return list_numbers<pid_t>("/proc").value_or(std::vector<pid_t>{}); }

Result<std::vector<std::string>> command_line(pid_t pid) {
  const auto text = read_proc_file(fmt::format("/proc/{}/cmdline", pid));
  if (!text) {
    return tl::unexpected{text.error()};
  }
  std::vector<std::string> arguments;
  for (const std::string_view argument : split(*text, '\0')) {
    arguments.emplace_back(argument);
  }
  return arguments;
}

Result<std::string> exe_path(pid_t pid) { return read_link(fmt::format("/proc/{}/exe", pid)); }

Result<std::vector<int>> list_fds(pid_t pid, std::size_t limit) {
  return list_numbers<int>(fmt::format("/proc/{}/fd", pid), limit);
}

Result<std::string> fd_target(pid_t pid, int fd) { return read_link(fmt::format("/proc/{}/fd/{}", pid, fd)); }

Result<std::string> comm(pid_t pid) {
  auto text = read_proc_file(fmt::format("/proc/{}/comm", pid));
  if (text && text->ends_with('\n')) {
    text->pop_back();
  }
  return text;
}

Result<std::uint64_t> parse_start_time(std::string_view stat) {
  const std::size_t name_end = stat.rfind(')');
  if (name_end != std::string_view::npos) {
    const auto fields = split(trim(stat.substr(name_end + 1)), ' ');
    if (fields.size() > kStartTimeAfterName) {
      if (const auto ticks = parse_u64(fields[kStartTimeAfterName])) {
        return *ticks;
      }
    }
  }
  return fail(ErrorKind::invalid, kOrigin, fmt::format("malformed stat line: {}", printable(stat)));
}

Result<std::string> read_proc_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) {
    return fail_errno(errno, kOrigin, fmt::format("cannot open {}", path));
  }
  constexpr std::size_t kChunk = 64 << 10;
  std::string text;
  std::size_t size = 0;
  while (size <= limit) {
    text.resize(size + kChunk);
    const ssize_t got = ::read(fd.get(), text.data() + size, kChunk);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return fail_errno(errno, kOrigin, fmt::format("cannot read {}", path));
    }
    if (got == 0) {
      text.resize(size);
      return text;
    }
    size += static_cast<std::size_t>(got);
  }
  return fail(ErrorKind::invalid, kOrigin, fmt::format("{} is longer than {} bytes", path, limit));
}

std::string access_remedy(pid_t pid) {
  struct stat info {};
  const std::string dir = fmt::format("/proc/{}", pid);
  std::string remedy =
      ::stat(dir.c_str(), &info) == 0
          ? fmt::format("run as the user of process {} (uid {}) or as root, or with CAP_SYS_PTRACE", pid,
                        info.st_uid)
          : fmt::format("run as the user of process {} or as root, or with CAP_SYS_PTRACE", pid);
  switch (const int scope = yama_scope()) {
  case 0: break;
  case 3:
    remedy += "; kernel.yama.ptrace_scope is 3, which forbids it even to root until the next boot";
    break;
  default:
    remedy += fmt::format("; kernel.yama.ptrace_scope is {}, so being the same user is not enough", scope);
  }
  return remedy;
}

} // namespace vmemfs
