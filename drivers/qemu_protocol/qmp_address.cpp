// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/qmp_address.h"

#include "core/text.h"
#include "util/fd_wait.h"
#include "util/work_limit.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>
#include <system_error>
#include <thread>

namespace vmemfs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOrigin = "qmp";
constexpr std::string_view kAbstract = "abstract:";
constexpr std::string_view kPadded = "abstract,tight=off:";
constexpr std::string_view kTcp = "tcp:";
constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_ipv4(const TcpEnd& end) { return std::equal(kMapped.begin(), kMapped.end(), end.ip.begin()); }

TcpEnd ipv4_end(const in_addr& ip, std::uint16_t port) {
  TcpEnd end{{}, port};
  std::ranges::copy(kMapped, end.ip.begin());
  std::memcpy(end.ip.data() + kMapped.size(), &ip, sizeof(ip));
  return end;
}

TcpEnd ipv6_end(const in6_addr& ip, std::uint16_t port) {
  TcpEnd end{{}, port};
  std::memcpy(end.ip.data(), &ip, sizeof(ip));
  return end;
}

/// An address for connect(); a path that is too long for it is reached through a descriptor of its directory.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  UniqueFd directory; ///< must stay open while the address is used
};

template <typename T> void set_address(SocketAddress& target, const T& address, std::size_t size) {
  static_assert(sizeof(address) <= sizeof(target.storage));
  std::memcpy(&target.storage, &address, sizeof(address));
  target.size = static_cast<socklen_t>(size);
}

Result<SocketAddress> abstract_socket(const AbstractName& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.name.empty() || name.name.size() >= sizeof(address.sun_path)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not a usable abstract name of a socket", printable(name.name, 200)));
  }
  name.name.copy(address.sun_path + 1, name.name.size()); // after a zero byte
  SocketAddress target;
  set_address(target, address,
              name.padded ? sizeof(address) : offsetof(sockaddr_un, sun_path) + 1 + name.name.size());
  return target;
}

Result<SocketAddress> tcp_socket(const std::string& text) {
  const auto end = tcp_end_of(text);
  if (!end || !is_loopback(*end)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not a port at a loopback address of this host", printable(text)));
  }
  SocketAddress target;
  if (is_ipv4(*end)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(end->port);
    std::memcpy(&address.sin_addr, end->ip.data() + kMapped.size(), sizeof(address.sin_addr));
    set_address(target, address, sizeof(address));
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(end->port);
    std::memcpy(&address.sin6_addr, end->ip.data(), sizeof(address.sin6_addr));
    set_address(target, address, sizeof(address));
  }
  return target;
}

Result<SocketAddress> socket_at(const std::string& path) {
  SocketAddress target;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string usable = path;
  if (usable.size() >= sizeof(address.sun_path)) {
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    target.directory.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!target.directory) {
      return fail_errno(errno, kOrigin, fmt::format("cannot open the directory of the monitor {}", path));
    }
    usable = fmt::format("/proc/self/fd/{}/{}", target.directory.get(), path.substr(slash + 1));
  }
  if (usable.empty() || usable.size() >= sizeof(address.sun_path)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not a usable socket path", printable(path, 200)));
  }
  usable.copy(address.sun_path, usable.size());
  set_address(target, address, sizeof(address));
  return target;
}

Result<SocketAddress> socket_address(const std::string& address) {
  if (const auto name = abstract_name_of(address)) {
    return abstract_socket(*name);
  }
  return is_tcp_address(address) ? tcp_socket(address) : socket_at(address);
}

tl::unexpected<Error> nobody_listens(const std::string& address) {
  if (!is_path_address(address)) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("no process listens on the monitor {}: its QEMU has ended", address));
  }
  return fail(ErrorKind::not_found, kOrigin,
              fmt::format("no process listens on the monitor socket {}: its QEMU has ended, or the file is "
                          "no socket",
                          address));
}

tl::unexpected<Error> connect_error(int os_errno, const std::string& address) {
  switch (os_errno) {
  case ENOENT:
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("there is no monitor socket {}; check the path, and that QEMU was started with "
                            "-qmp unix:{},server=on,wait=off",
                            address, address));
  case ECONNREFUSED: return nobody_listens(address);
  case EACCES:
  case EPERM:
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("cannot connect to the monitor {}: Permission denied; run vmemfs as the user "
                            "that QEMU runs as, as root, or with CAP_DAC_OVERRIDE",
                            address));
  default: return fail_errno(os_errno, kOrigin, fmt::format("cannot connect to the monitor {}", address));
  }
}

tl::unexpected<Error> too_late(const std::string& address) {
  return fail(ErrorKind::timed_out, kOrigin,
              fmt::format("cannot connect to the monitor {} within the time limit", address));
}

Result<UniqueFd> new_socket(int family, const std::string& address) {
  UniqueFd socket{::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket && errno == EAFNOSUPPORT && family != AF_UNIX) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("cannot connect to the monitor {}: this process has no network", address));
  }
  if (!socket) {
    return fail_errno(errno, kOrigin, "cannot create a socket");
  }
  const int on = 1;
  if (family != AF_UNIX) { // only for speed: each command is one small packet
    static_cast<void>(::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
  }
  return socket;
}

/// The result of a connect() that goes on in the background, as TCP's may.
Result<void> finish_connect(int socket, const std::string& address, Clock::time_point deadline) {
  const auto ready = wait_for_fd(socket, POLLOUT, deadline);
  if (!ready || !*ready) {
    return ready ? too_late(address) : tl::unexpected{ready.error()};
  }
  int os_errno = 0;
  socklen_t size = sizeof(os_errno);
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &os_errno, &size) != 0) {
    os_errno = errno;
  }
  return os_errno == 0 ? Result<void>{} : connect_error(os_errno, address);
}

} // namespace

std::optional<TcpEnd> tcp_end(const std::string& ip, std::uint16_t port) {
  in_addr ipv4{};
  if (::inet_pton(AF_INET, ip.c_str(), &ipv4) == 1) {
    return ipv4_end(ipv4, port);
  }
  in6_addr ipv6{};
  if (::inet_pton(AF_INET6, ip.c_str(), &ipv6) == 1) {
    return ipv6_end(ipv6, port);
  }
  return std::nullopt;
}

std::optional<TcpEnd> tcp_end(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in ipv4{};
    std::memcpy(&ipv4, &address, sizeof(ipv4));
    return ipv4_end(ipv4.sin_addr, ntohs(ipv4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 ipv6{};
    std::memcpy(&ipv6, &address, sizeof(ipv6));
    return ipv6_end(ipv6.sin6_addr, ntohs(ipv6.sin6_port));
  }
  return std::nullopt;
}

bool is_any_address(const TcpEnd& end) {
  return end == tcp_end("0.0.0.0", end.port) || end == tcp_end("::", end.port);
}

bool is_loopback(const TcpEnd& end) {
  constexpr std::uint8_t kLoopbackNet = 127;
  return is_ipv4(end) ? end.ip[kMapped.size()] == kLoopbackNet : end == tcp_end("::1", end.port);
}

TcpEnd loopback_of(const TcpEnd& end) { return *tcp_end(is_ipv4(end) ? "127.0.0.1" : "::1", end.port); }

std::string path_address(const std::string& path) { return is_path_address(path) ? path : "./" + path; }

std::string abstract_address(const AbstractName& name) {
  return fmt::format("{}{}", name.padded ? kPadded : kAbstract, name.name);
}

std::string tcp_address(const TcpEnd& end) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool ipv4 = is_ipv4(end);
  const void* const ip = end.ip.data() + (ipv4 ? kMapped.size() : 0);
  ::inet_ntop(ipv4 ? AF_INET : AF_INET6, ip, text.data(), text.size());
  return ipv4 ? fmt::format("{}{}:{}", kTcp, text.data(), end.port)
              : fmt::format("{}[{}]:{}", kTcp, text.data(), end.port);
}

std::optional<AbstractName> abstract_name_of(std::string_view address) {
  for (const bool padded : {false, true}) {
    const std::string_view form = padded ? kPadded : kAbstract;
    if (address.starts_with(form)) {
      return AbstractName{std::string{address.substr(form.size())}, padded};
    }
  }
  return std::nullopt;
}

bool is_tcp_address(std::string_view address) { return address.starts_with(kTcp); }

std::optional<TcpEnd> tcp_end_of(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (!is_tcp_address(address) || colon < kTcp.size()) {
    return std::nullopt;
  }
  std::string_view ip = address.substr(kTcp.size(), colon - kTcp.size());
  if (ip.starts_with('[') && ip.ends_with(']')) {
    ip = ip.substr(1, ip.size() - 2);
  }
  const auto port = parse_u64(address.substr(colon + 1));
  if (!port || *port == 0 || *port > UINT16_MAX) {
    return std::nullopt;
  }
  return tcp_end(std::string{ip}, static_cast<std::uint16_t>(*port));
}

bool is_path_address(std::string_view address) {
  return !address.starts_with(kAbstract) && !address.starts_with(kPadded) && !is_tcp_address(address);
}

std::string absolute_address(const std::string& address) {
  if (!is_path_address(address)) {
    return address;
  }
  std::error_code error;
  const auto absolute = std::filesystem::absolute(address, error);
  return error ? address : absolute.string();
}

Result<UniqueFd> connect_to_monitor(const std::string& address, Clock::time_point deadline) {
  const auto target = socket_address(address);
  if (!target) {
    return tl::unexpected{target.error()};
  }
  auto socket = new_socket(target->storage.ss_family, address);
  if (!socket) {
    return socket;
  }
  // The socket API requires a cast between its address types.
  const auto* where = reinterpret_cast<const sockaddr*>(&target->storage);
  while (::connect(socket->get(), where, target->size) != 0) {
    if (errno == EINPROGRESS || errno == EALREADY) {
      const auto connected = finish_connect(socket->get(), address, deadline);
      return connected ? std::move(socket) : tl::unexpected{connected.error()};
    }
    // A full listen queue gives EAGAIN, and poll() does not report when it has room again.
    if (errno != EAGAIN && errno != EINTR) {
      return connect_error(errno, address);
    }
    if (Clock::now() >= deadline || WorkLimit::over()) {
      return too_late(address);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return socket;
}

} // namespace vmemfs
