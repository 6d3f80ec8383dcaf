// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor_owner.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "qmp";

/// Gives the socket an abstract name (unix(7)) that nobody can guess, and returns it.
Result<std::string> name_socket(int socket) {
  std::array<std::uint64_t, 2> random{};
  if (::getrandom(random.data(), sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
    return fail_errno(errno, kOrigin, "cannot get random bytes");
  }
  std::string name(1, '\0');
  name += fmt::format("vmemfs-{:016x}{:016x}", random[0], random[1]);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return fail_errno(errno, kOrigin, "cannot name the connection to the monitor");
  }
  return name;
}

/// Whether `socket` is connected to a socket of that name, by this process.
bool is_other_end(int socket, std::string_view name) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid != ::getpid()) {
    return false;
  }
  sockaddr_un address{};
  size = sizeof(address);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      address.sun_family != AF_UNIX) {
    return false;
  }
  constexpr std::size_t kHeader = offsetof(sockaddr_un, sun_path);
  return size >= kHeader && std::string_view{address.sun_path, size - kHeader} == name;
}

enum class Answer : unsigned char { yes, no, too_many, unknown };

/// Whether one of the process's open files is the other end of the UNIX socket of that name.
Answer has_unix_end(const Process& process, std::string_view name) {
  const auto fds = list_fds(process.pid());
  if (!fds) {
    return Answer::unknown;
  }
  if (fds->size() > kMaxOwnerFiles) {
    return Answer::too_many;
  }
  bool examined = true;
  for (const int fd : *fds) {
    const auto target = fd_target(process.pid(), fd);
    if (!target || !target->starts_with("socket:")) {
      continue;
    }
    const UniqueFd theirs = process.duplicate_fd(fd);
    if (!theirs) {
      examined = examined && errno == EBADF; // closed meanwhile
    } else if (is_other_end(theirs.get(), name)) {
      return Answer::yes;
    }
  }
  return examined ? Answer::no : Answer::unknown;
}

std::optional<TcpEnd> end_of(int socket, decltype(&::getsockname) which) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  return which(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0 ? tcp_end(address) : std::nullopt;
}

/// Whether one of the process's open files is the other end of the TCP connection, which is within this host.
/// Of the table of this process's network namespace, in which no two connections have the same ends: the
/// other process may be in another one, with such a connection of its own.
Answer has_tcp_end(const Process& process, int socket) {
  const auto ours = end_of(socket, &::getsockname);
  const auto theirs = end_of(socket, &::getpeername);
  std::uint64_t inode = 0;
  static_cast<void>(any_tcp_socket("/proc/self/net", [&](const TcpSocket& row) {
    inode = row.established && row.local == theirs && row.remote == ours ? row.inode : 0;
    return inode != 0;
  }));
  const auto sockets = sockets_of(fmt::format("/proc/{}", process.pid()));
  if (!sockets) {
    return sockets.error().kind == ErrorKind::unsupported ? Answer::too_many : Answer::unknown;
  }
  return inode != 0 && sockets->contains(inode) ? Answer::yes : Answer::no;
}

Result<Answer> has_other_end(const Process& process, int socket) {
  int family = 0;
  socklen_t size = sizeof(family);
  if (::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) {
    return fail_errno(errno, kOrigin, "cannot determine the kind of the connection to the monitor");
  }
  if (family != AF_UNIX) {
    return has_tcp_end(process, socket);
  }
  return name_socket(socket).map([&](const std::string& name) { return has_unix_end(process, name); });
}

/// A process that is being killed first loses its open files, then the connection, and counts as ended last.
bool is_ending(int socket, const Process& process) {
  constexpr std::chrono::milliseconds kPatience{200};
  std::array<pollfd, 2> ends{{{socket, POLLRDHUP, 0}, {process.pidfd(), POLLIN, 0}}};
  int ready = 0;
  do {
    ready = ::poll(ends.data(), ends.size(), static_cast<int>(kPatience.count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

std::string opener(pid_t listener) {
  return listener > 0 ? fmt::format(" (process {} opened it)", listener) : "";
}

} // namespace

Result<void> check_monitor_owner(int socket, pid_t listener, const Process& process) {
  const auto answer = has_other_end(process, socket);
  if (!answer) {
    return tl::unexpected{answer.error()};
  }
  if (!process.alive()) { // another process may have its number now
    return fail(ErrorKind::vm_gone, kOrigin, fmt::format("process {} has ended", process.pid()));
  }
  if (*answer == Answer::yes || (*answer == Answer::unknown && listener == process.pid())) {
    return {};
  }
  if (is_ending(socket, process)) {
    return fail(ErrorKind::source_failed, kOrigin, "the monitor closed the connection");
  }
  if (*answer == Answer::too_many) {
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("cannot tell whether the monitor belongs to process {}: it has more than {} open "
                            "files, so the monitor is not used",
                            process.pid(), kMaxOwnerFiles));
  }
  if (*answer == Answer::unknown) {
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("cannot tell whether the monitor belongs to process {}{}; run vmemfs as root or with "
                    "CAP_SYS_PTRACE",
                    process.pid(), opener(listener)));
  }
  return fail(ErrorKind::permission, kOrigin,
              fmt::format("the monitor does not belong to process {}{}, so it is not used", process.pid(),
                          opener(listener)));
}

} // namespace vmemfs::qemu
