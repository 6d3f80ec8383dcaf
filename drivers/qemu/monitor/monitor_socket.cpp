// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor_socket.h"

#include "core/text.h"
#include "drivers/qemu/monitor/socket_tables.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "host/process.h"
#include "util/network.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <optional>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "qmp";
constexpr std::string_view kRemedy = "give QEMU a UNIX socket with a path: -qmp unix:PATH,server=on,wait=off";

Result<std::string> read_link(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot read the symbolic link {}", path));
  }
  return std::string{target.data(), static_cast<std::size_t>(size)};
}

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// As net/unix shows it.
std::string shown_name(const AbstractName& name) {
  std::string shown = "@" + name.name;
  if (name.padded) {
    shown.resize(sizeof(sockaddr_un::sun_path), '@');
  }
  return shown;
}

/// The reverse, for a name without zero bytes of its own.
AbstractName abstract_name(std::string_view shown) {
  const bool padded = shown.size() == sizeof(sockaddr_un::sun_path) && shown.ends_with('@');
  shown.remove_prefix(1);
  return {std::string{padded ? shown.substr(0, shown.find_last_not_of('@') + 1) : shown}, padded};
}

/// The lookup in one process.
class Search {
public:
  Search(pid_t qemu, const std::string& proc)
      : pid_{qemu}, own_namespaces_{proc + "/self/ns/"}, process_{fmt::format("{}/{}", proc, qemu)},
        net_{process_ + "/net"}, sockets_{sockets_of(process_)} {}

  [[nodiscard]] Result<std::string> by_fd(int fd) const;
  [[nodiscard]] Result<std::string> by_path(const std::string& path, bool chrooted) const;
  [[nodiscard]] Result<std::string> by_abstract_name(const AbstractName& name) const;
  [[nodiscard]] Result<std::string> by_tcp(const TcpPlace& place) const;

private:
  /// Whether the process listens at the name, as net/unix shows it. Without the right to see its files: a
  /// process does.
  [[nodiscard]] bool listens_at(std::string_view name) const;
  [[nodiscard]] Result<std::string> reach(const std::string& path, const std::string& inside,
                                          bool chrooted) const;
  [[nodiscard]] Result<std::string> reach_relative(const std::string& path, bool chrooted) const;
  [[nodiscard]] std::string start_directory() const;
  /// False if that is unknown, too.
  [[nodiscard]] bool in_other_namespace(const std::string& kind) const;
  [[nodiscard]] std::vector<TcpEnd> tcp_listeners(const TcpPlace& place) const;
  [[nodiscard]] Result<std::string> usable_tcp(const std::vector<TcpEnd>& listeners) const;

  pid_t pid_;
  std::string own_namespaces_;
  std::string process_; ///< its folder in procfs
  std::string net_;
  Result<Inodes> sockets_; ///< among its open files
};

bool Search::listens_at(std::string_view name) const {
  return any_unix_socket(net_, [&](const UnixSocket& socket) {
    return socket.listens && socket.name == name && (!sockets_ || sockets_->contains(socket.inode));
  });
}

bool Search::in_other_namespace(const std::string& kind) const {
  const auto theirs = read_link(process_ + "/ns/" + kind);
  const auto ours = read_link(own_namespaces_ + kind);
  return theirs && ours && *theirs != *ours;
}

Result<std::string> Search::by_fd(int fd) const {
  const auto link = read_link(fmt::format("{}/fd/{}", process_, fd));
  if (!link) {
    return tl::unexpected{link.error()};
  }
  const std::uint64_t inode = socket_inode(*link);
  if (inode == 0) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("descriptor {} of QEMU is not a socket", fd));
  }
  std::string name;
  const bool listens = any_unix_socket(net_, [&](const UnixSocket& socket) {
    const bool is_it = socket.listens && socket.inode == inode;
    name = is_it ? socket.name : std::string_view{};
    return is_it;
  });
  if (!listens) {
    return fail(
        ErrorKind::not_found, kOrigin,
        fmt::format("cannot connect to the monitor on descriptor {} of QEMU: its socket has no path", fd));
  }
  if (name.starts_with('@')) {
    return by_abstract_name(abstract_name(name));
  }
  return name.starts_with('/') ? reach(name, process_ + "/root" + name, false) : reach_relative(name, false);
}

Result<std::string> Search::by_path(const std::string& path, bool chrooted) const {
  const bool shown_whole = path.find('\n') == std::string::npos;
  if (shown_whole && sockets_ && !listens_at(path)) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("QEMU (pid {}) does not listen on the monitor socket {}", pid_, path));
  }
  return path.starts_with('/') ? reach(path, process_ + "/root" + path, chrooted)
                               : reach_relative(path, chrooted);
}

/// `path` leads to the socket from the root at QEMU's start, which may be ours; `inside` leads there through
/// /proc, from its present root.
Result<std::string> Search::reach(const std::string& path, const std::string& inside, bool chrooted) const {
  struct stat plain {};
  const bool plain_there =
      !in_other_namespace("mnt") && ::stat(path.c_str(), &plain) == 0 && S_ISSOCK(plain.st_mode);
  if (plain_there && chrooted) {
    return path_address(path);
  }
  struct stat by_proc {};
  const int os_errno = ::stat(inside.c_str(), &by_proc) == 0 ? 0 : errno;
  if (os_errno == 0 && S_ISSOCK(by_proc.st_mode)) {
    return path_address(plain_there && is_same_file(plain, by_proc) ? path : inside);
  }
  if (plain_there) { // QEMU has another root now; or /proc/PID may not be read, and this is the best guess
    return path_address(path);
  }
  if (os_errno != EACCES && os_errno != EPERM && sockets_) { // it does listen there
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("cannot reach the monitor socket {} on which QEMU (pid {}) listens: its file was "
                            "removed, or is in a directory that is not known any more (-chroot, or "
                            "-daemonize and a relative path); give QEMU another one: -qmp "
                            "unix:PATH,server=on,wait=off",
                            path, pid_));
  }
  return os_errno == 0
             ? fail(ErrorKind::not_found, kOrigin, fmt::format("{} is not a socket", path))
             : fail_errno(os_errno, kOrigin, fmt::format("cannot reach the monitor socket {}", path));
}

/// QEMU has another working directory after -chroot and -daemonize; the one at its start is in its
/// environment, if the program that started it was a shell.
Result<std::string> Search::reach_relative(const std::string& path, bool chrooted) const {
  const std::string start = start_directory() + "/" + path;
  auto at_start = reach(start, process_ + "/root" + start, chrooted);
  if (at_start && chrooted) {
    return at_start;
  }
  const auto directory = read_link(process_ + "/cwd");
  auto now = reach(directory.value_or("") + "/" + path, process_ + "/cwd/" + path, false);
  return !now && at_start ? std::move(at_start) : std::move(now);
}

/// Absolute; empty if it is unknown or the root.
std::string Search::start_directory() const {
  constexpr std::size_t kMaxEnvironment = std::size_t{1} << 20;
  constexpr std::string_view kKey = "PWD=/";
  const auto environment = read_proc_file(process_ + "/environ", kMaxEnvironment);
  if (environment) {
    for (const std::string_view entry : split(*environment, '\0')) {
      if (entry.starts_with(kKey)) {
        return std::string{entry.substr(kKey.size() - 1)};
      }
    }
  }
  return {};
}

Result<std::string> Search::by_abstract_name(const AbstractName& name) const {
  if (in_other_namespace("net")) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("its QMP monitor is the abstract socket '{}' in another network namespace, where "
                            "vmemfs cannot connect to it; {}",
                            printable(name.name, sizeof(sockaddr_un::sun_path)), kRemedy));
  }
  if (name.name.find('\n') == std::string::npos && !listens_at(shown_name(name))) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("QEMU (pid {}) does not listen on the abstract socket '{}'", pid_,
                            printable(name.name, sizeof(sockaddr_un::sun_path))));
  }
  return abstract_address(name);
}

/// Whether a socket that listens at `end` can be the one of the command line; a name may be any address.
bool fits(const TcpPlace& place, const TcpEnd& end) {
  const auto wanted = tcp_end(place.host.empty() ? "0.0.0.0" : place.host, end.port);
  return end.port >= place.first && end.port <= place.last &&
         (!wanted || *wanted == end || (place.host.empty() && is_any_address(end)));
}

std::vector<TcpEnd> Search::tcp_listeners(const TcpPlace& place) const {
  constexpr std::size_t kMaxListeners = 64;
  std::vector<TcpEnd> found;
  static_cast<void>(any_tcp_socket(net_, [&](const TcpSocket& socket) {
    if (socket.listens && sockets_->contains(socket.inode) && fits(place, socket.local)) {
      found.push_back(socket.local);
    }
    return found.size() == kMaxListeners;
  }));
  std::ranges::stable_sort(found, {}, &TcpEnd::port); // QEMU takes the first port that is free
  return found;
}

Result<std::string> Search::by_tcp(const TcpPlace& place) const {
  const std::string shown = fmt::format("{}:{}", printable(place.host), place.first);
  if (!sockets_) {
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("its QMP monitor is on TCP ({}), and it cannot be determined whether it belongs to "
                    "process {}; run vmemfs as root or with CAP_SYS_PTRACE, or {}",
                    shown, pid_, kRemedy));
  }
  if (in_other_namespace("net")) {
    return fail(
        ErrorKind::unsupported, kOrigin,
        fmt::format("its QMP monitor is on TCP ({}) in another network namespace, where vmemfs cannot "
                    "connect to it; {}",
                    shown, kRemedy));
  }
  const auto listeners = tcp_listeners(place);
  if (listeners.empty()) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("QEMU (pid {}) does not listen on the TCP port {}", pid_, shown));
  }
  return usable_tcp(listeners);
}

/// Only loopback addresses are ever connected to: a process may listen at addresses of other hosts, too
/// (IP_FREEBIND).
Result<std::string> Search::usable_tcp(const std::vector<TcpEnd>& listeners) const {
  const auto usable = std::ranges::find_if(
      listeners, [](const TcpEnd& end) { return is_any_address(end) || is_loopback(end); });
  if (usable == listeners.end()) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("its QMP monitor is on {}, and vmemfs connects to loopback addresses only; {}",
                            tcp_address(listeners.front()), kRemedy));
  }
  std::string address = tcp_address(is_any_address(*usable) ? loopback_of(*usable) : *usable);
  if (!has_network()) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("its QMP monitor is on {}, and this process has no network; start the mount with "
                            "tcp=on (--vm NAME=qemu:pid={},tcp=on or --discover qemu:tcp=on), or {}",
                            address, pid_, kRemedy));
  }
  return address;
}

} // namespace

Result<std::string> find_monitor(const MonitorSocket& socket, pid_t qemu, const std::string& proc) {
  const Search search{qemu, proc};
  if (socket.tcp) {
    return search.by_tcp(*socket.tcp);
  }
  if (socket.fd) {
    return search.by_fd(*socket.fd);
  }
  return socket.abstract ? search.by_abstract_name({socket.path, socket.padded})
                         : search.by_path(socket.path, socket.chrooted);
}

bool has_client(const std::string& address, pid_t qemu, const std::string& proc) {
  const std::string net = fmt::format("{}/{}/net", proc, qemu);
  if (const auto end = tcp_end_of(address)) {
    return any_tcp_socket(net, [&](const TcpSocket& socket) {
      return socket.established && socket.inode != 0 && socket.local == *end;
    });
  }
  // An accepted socket has the name to which the listener was bound, which may be relative.
  const auto abstract = abstract_name_of(address);
  const std::string name = abstract ? shown_name(*abstract) : address;
  return any_unix_socket(net, [&](const UnixSocket& socket) {
    if (!socket.connected || abstract) {
      return socket.connected && socket.name == name;
    }
    return name.ends_with(socket.name.starts_with('/') ? std::string{socket.name}
                                                       : fmt::format("/{}", socket.name));
  });
}

} // namespace vmemfs::qemu
