// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/link/server_address.h"

#include "core/text.h"
#include "util/fd_wait.h"
#include "util/work_limit.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

namespace vmemfs::gdbstub {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::string_view kTcp = "tcp:";
constexpr std::string_view kUnix = "unix:";

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

template <typename T> SocketAddress stored(const T& address) {
  static_assert(sizeof(address) <= sizeof(sockaddr_storage));
  SocketAddress stored{.size = sizeof(address)};
  std::memcpy(&stored.storage, &address, sizeof(address));
  return stored;
}

std::optional<SocketAddress> ip_address(const std::string& host, std::uint16_t port) {
  sockaddr_in ipv4{};
  if (::inet_pton(AF_INET, host.c_str(), &ipv4.sin_addr) == 1) {
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(port);
    return stored(ipv4);
  }
  sockaddr_in6 ipv6{};
  if (::inet_pton(AF_INET6, host.c_str(), &ipv6.sin6_addr) == 1) {
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    return stored(ipv6);
  }
  return std::nullopt;
}

std::optional<SocketAddress> unix_address(const std::string& path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof(address.sun_path) || path.find('\0') != std::string::npos) {
    return std::nullopt;
  }
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  return stored(address);
}

tl::unexpected<Error> not_an_address(std::string_view text) {
  return fail(ErrorKind::invalid, kOrigin,
              fmt::format("'{}' is not the address of a server; give IP:PORT, such as 127.0.0.1:1234 or "
                          "[::1]:1234, or the path of a UNIX socket, such as /run/web01.gdb (of at most {} "
                          "characters); names of hosts are not looked up",
                          printable(text), sizeof(sockaddr_un::sun_path) - 1));
}

Error connect_error(int os_errno, const ServerAddress& address) {
  const std::string where = to_string(address);
  if (os_errno == ENOENT || os_errno == ECONNREFUSED) {
    return {ErrorKind::not_found, std::string{kOrigin},
            fmt::format("no server listens on {}; start it, such as QEMU with -gdb {}", where,
                        address.is_unix() ? fmt::format("unix:{},server=on,wait=off", where)
                                          : fmt::format("tcp::{}", address.port))};
  }
  return fail_errno(os_errno, kOrigin, fmt::format("cannot connect to the server on {}", where)).value();
}

Error too_late(const ServerAddress& address) {
  return {ErrorKind::timed_out, std::string{kOrigin},
          fmt::format("cannot connect to the server on {} within the time limit; check that it accepts "
                      "connections, or give a larger timeout=",
                      to_string(address))};
}

/// Each is of use, and none is needed.
void set_tcp_options(int socket) {
  const auto set = [&](int level, int name, int value) {
    static_cast<void>(::setsockopt(socket, level, name, &value, sizeof(value)));
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1); // each request is one small packet
  // A server's host that has gone is noticed within half a minute, though nothing is asked.
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

Result<UniqueFd> new_socket(int family, const ServerAddress& address) {
  UniqueFd socket{::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket && errno == EAFNOSUPPORT && family != AF_UNIX) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("cannot connect to the server on {}: this process has given up the network; name "
                            "the VM with --vm when vmemfs is started, or use a UNIX socket",
                            to_string(address)));
  }
  if (!socket) {
    return fail_errno(errno, kOrigin, "cannot create a socket");
  }
  if (family != AF_UNIX) {
    set_tcp_options(socket.get());
  }
  return socket;
}

/// The result of a connect() that goes on in the background, as TCP's may.
Result<void> finish_connect(int socket, const ServerAddress& address, Clock::time_point deadline) {
  const auto ready = wait_for_fd(socket, POLLOUT, deadline);
  if (!ready || !*ready) {
    return tl::unexpected{ready ? too_late(address) : ready.error()};
  }
  int os_errno = 0;
  socklen_t size = sizeof(os_errno);
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &os_errno, &size) != 0) {
    os_errno = errno;
  }
  return os_errno == 0 ? Result<void>{} : tl::unexpected{connect_error(os_errno, address)};
}

} // namespace

Result<ServerAddress> parse_address(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with(kUnix) || rest.starts_with('/')) {
    rest.remove_prefix(rest.starts_with(kUnix) ? kUnix.size() : 0);
    ServerAddress address{.path = std::string{rest}};
    return unix_address(address.path) ? Result<ServerAddress>{std::move(address)} : not_an_address(text);
  }
  rest.remove_prefix(rest.starts_with(kTcp) ? kTcp.size() : 0);
  const std::size_t colon = rest.rfind(':');
  const auto port = colon == std::string_view::npos ? std::nullopt : parse_u64(rest.substr(colon + 1));
  if (!port || *port == 0 || *port > UINT16_MAX) {
    return not_an_address(text);
  }
  std::string_view host = rest.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.empty() || host == "localhost") {
    host = "127.0.0.1";
  }
  ServerAddress address{std::string{host}, static_cast<std::uint16_t>(*port)};
  return ip_address(address.host, address.port) ? Result<ServerAddress>{std::move(address)}
                                                : not_an_address(text);
}

std::string to_string(const ServerAddress& address) {
  if (address.is_unix()) {
    return address.path.starts_with('/') ? address.path : fmt::format("{}{}", kUnix, address.path);
  }
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return ipv6 ? fmt::format("[{}]:{}", address.host, address.port)
              : fmt::format("{}:{}", address.host, address.port);
}

Result<UniqueFd> connect_to(const ServerAddress& address, Clock::time_point deadline) {
  const auto target = address.is_unix() ? unix_address(address.path) : ip_address(address.host, address.port);
  if (!target) {
    return not_an_address(to_string(address));
  }
  auto socket = new_socket(target->storage.ss_family, address);
  if (!socket) {
    return socket;
  }
  // The socket API requires a cast between its address types.
  const auto* where = reinterpret_cast<const sockaddr*>(&target->storage);
  while (::connect(socket->get(), where, target->size) != 0) {
    if (errno == EINPROGRESS || errno == EALREADY) {
      return finish_connect(socket->get(), address, deadline).map([&] { return std::move(*socket); });
    }
    // A full listen queue gives EAGAIN, and poll() does not report when it has room again.
    if (errno != EAGAIN && errno != EINTR) {
      return tl::unexpected{connect_error(errno, address)};
    }
    if (Clock::now() >= deadline || WorkLimit::over()) {
      return tl::unexpected{too_late(address)};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return socket;
}

} // namespace vmemfs::gdbstub
