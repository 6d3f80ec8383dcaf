// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor_socket.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "qmp";

Result<std::string> read_link(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot read the symbolic link {}", path));
  }
  return std::string{target.data(), static_cast<std::size_t>(size)};
}

/// Splits off the first word of `text`.
std::string_view take_token(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view token = text.substr(0, text.find(' '));
  text.remove_prefix(token.size());
  return token;
}

/// A line of net/unix: "Num: RefCount Protocol Flags Type St Inode Path".
struct SocketLine {
  std::uint64_t flags = 0;
  std::uint64_t state = 0;
  std::string_view inode;
  std::string_view path; ///< views into the line
};

std::optional<SocketLine> parse_socket_line(std::string_view line) {
  for (unsigned skipped = 0; skipped < 3; ++skipped) {
    take_token(line);
  }
  const auto flags = parse_hex(take_token(line));
  take_token(line);
  const auto state = parse_hex(take_token(line));
  const std::string_view inode = take_token(line);
  if (!flags || !state || inode.empty() || line.size() < 2) {
    return std::nullopt;
  }
  return SocketLine{*flags, *state, inode, line.substr(1)};
}

constexpr std::uint64_t kAcceptsConnections = 0x10000; // SO_ACCEPTCON of the kernel
constexpr std::uint64_t kConnected = 3;                // SS_CONNECTED: accepted, not only in the listen queue

/// The path to which the listening socket `fd` of the process is bound.
Result<std::string> path_of_fd(int fd, const std::string& process) {
  const auto link = read_link(fmt::format("{}/fd/{}", process, fd));
  if (!link) {
    return tl::unexpected{link.error()};
  }
  constexpr std::string_view kPrefix = "socket:[";
  if (!link->starts_with(kPrefix) || !link->ends_with(']')) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("descriptor {} of QEMU is not a socket", fd));
  }
  const std::string inode = link->substr(kPrefix.size(), link->size() - kPrefix.size() - 1);
  std::ifstream table{process + "/net/unix"};
  for (std::string line; std::getline(table, line);) {
    const auto socket = parse_socket_line(line);
    if (!socket || (socket->flags & kAcceptsConnections) == 0 || socket->inode != inode) {
      continue;
    }
    if (socket->path.starts_with('@')) {
      break; // an abstract name
    }
    return std::string{socket->path};
  }
  return fail(
      ErrorKind::not_found, kOrigin,
      fmt::format("cannot connect to the monitor on descriptor {} of QEMU: its socket has no path", fd));
}

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// `inside` leads to the socket through /proc; `plain` may lead to the same socket.
Result<std::string> choose(const std::string& plain, const std::string& inside) {
  struct stat plain_stat {};
  struct stat inside_stat {};
  const bool plain_there = ::stat(plain.c_str(), &plain_stat) == 0 && S_ISSOCK(plain_stat.st_mode);
  if (::stat(inside.c_str(), &inside_stat) != 0) {
    const int os_errno = errno;
    // Without the right to read /proc/PID the plain path is the best guess.
    if ((os_errno == EACCES || os_errno == EPERM) && plain_there) {
      return plain;
    }
    return fail_errno(os_errno, kOrigin, fmt::format("cannot reach the monitor socket {}", plain));
  }
  if (!S_ISSOCK(inside_stat.st_mode)) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("{} is not a socket", plain));
  }
  return plain_there && is_same_file(plain_stat, inside_stat) ? plain : inside;
}

} // namespace

Result<std::string> find_monitor_path(const MonitorSocket& socket, pid_t qemu, const std::string& proc) {
  const std::string process = fmt::format("{}/{}", proc, qemu);
  std::string path = socket.path;
  if (socket.fd) {
    auto found = path_of_fd(*socket.fd, process);
    if (!found) {
      return found;
    }
    path = std::move(*found);
  }
  if (path.starts_with('/')) {
    return choose(path, process + "/root" + path);
  }
  const auto directory = read_link(process + "/cwd");
  return choose(directory.value_or("") + "/" + path, process + "/cwd/" + path);
}

bool has_client(const std::string& path, pid_t qemu, const std::string& proc) {
  std::ifstream table{fmt::format("{}/{}/net/unix", proc, qemu)};
  for (std::string line; std::getline(table, line);) {
    const auto socket = parse_socket_line(line);
    if (!socket || socket->state != kConnected) {
      continue;
    }
    // An accepted socket has the name to which the listener was bound, which may be relative.
    const bool whole = socket->path.starts_with('/') ? path.ends_with(socket->path)
                                                     : path.ends_with(fmt::format("/{}", socket->path));
    if (whole) {
      return true;
    }
  }
  return false;
}

} // namespace vmemfs::qemu
