// SPDX-License-Identifier: MIT
#include "linux/sockets/socket_text.h"

#include "core/text.h"

#include <arpa/inet.h>
#include <array>
#include <cstddef>
#include <fmt/format.h>
#include <string_view>

namespace vmemfs {
namespace {

constexpr std::string_view kNone = "-";
constexpr std::string_view kUnreadable = "?";

std::string inet_protocol(const OpenSocket& socket) {
  struct Known {
    std::uint16_t number;
    std::string_view name;
  };
  constexpr std::array<Known, 8> kKnown{{{1, "icmp"},
                                         {6, "tcp"},
                                         {17, "udp"},
                                         {33, "dccp"},
                                         {58, "icmp6"},
                                         {132, "sctp"},
                                         {136, "udplite"},
                                         {262, "mptcp"}}};
  if (socket.type == OpenSocket::raw) {
    return "raw";
  }
  for (const Known& known : kKnown) {
    if (socket.protocol == known.number) {
      return std::string{known.name};
    }
  }
  return fmt::format("ip-{}", socket.protocol);
}

std::string typed(std::string_view family, std::uint16_t type) {
  switch (type) {
  case OpenSocket::stream: return fmt::format("{}_str", family);
  case OpenSocket::datagram: return fmt::format("{}_dgr", family);
  case OpenSocket::raw: return fmt::format("{}_raw", family);
  case OpenSocket::sequenced: return fmt::format("{}_seq", family);
  default: return fmt::format("{}_{}", family, type);
  }
}

std::string protocol(const OpenSocket& socket) {
  constexpr std::uint16_t kTipc = 30;
  constexpr std::uint16_t kVsock = 40;
  constexpr std::uint16_t kXdp = 44;
  switch (socket.family) {
  case OpenSocket::inet:
  case OpenSocket::inet6: return inet_protocol(socket);
  case OpenSocket::unix_socket: return typed("u", socket.type);
  case OpenSocket::netlink: return "nl";
  case OpenSocket::packet: return typed("p", socket.type);
  case kTipc: return "tipc";
  case kVsock: return typed("v", socket.type);
  case kXdp: return "xdp";
  default: return fmt::format("family-{}", socket.family);
  }
}

std::string_view state(const OpenSocket& socket) {
  constexpr std::array<std::string_view, 13> kStates{
      "UNCONN", "ESTAB",      "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
      "UNCONN", "CLOSE-WAIT", "LAST-ACK", "LISTEN",   "CLOSING",    "SYN-RECV"};
  const bool has_zero = socket.family == OpenSocket::netlink; // begins there
  return socket.state < kStates.size() && (socket.state != 0 || has_zero) ? kStates.at(socket.state)
                                                                          : kUnreadable;
}

std::string end_text(const OpenSocket& socket, const std::optional<OpenSocket::End>& end) {
  if (!end) {
    return std::string{kUnreadable};
  }
  const bool is_inet6 = socket.family == OpenSocket::inet6;
  std::array<char, INET6_ADDRSTRLEN> address{};
  ::inet_ntop(is_inet6 ? AF_INET6 : AF_INET, end->address.data(), address.data(), address.size());
  const std::string port = end->port == 0 ? "*" : std::to_string(end->port);
  return is_inet6 ? fmt::format("[{}]:{}", address.data(), port) : fmt::format("{}:{}", address.data(), port);
}

std::string unix_name(const OpenSocket& socket) {
  if (!socket.name) {
    return std::string{kUnreadable};
  }
  const std::string& name = *socket.name;
  if (name.starts_with('\0')) {
    return "@" + printable(std::string_view{name}.substr(1), SocketReader::kMaxName);
  }
  return name.empty() ? std::string{kNone} : printable(name, SocketReader::kMaxName);
}

std::string unix_peer(const OpenSocket& socket) {
  if (!socket.peer_inode) {
    return std::string{kUnreadable};
  }
  return *socket.peer_inode == 0 ? std::string{kNone} : std::to_string(*socket.peer_inode);
}

std::string ends(const OpenSocket& socket) {
  switch (socket.family) {
  case OpenSocket::inet:
  case OpenSocket::inet6: return end_text(socket, socket.local) + "\t" + end_text(socket, socket.peer);
  case OpenSocket::unix_socket: return unix_name(socket) + "\t" + unix_peer(socket);
  case OpenSocket::netlink:
    return fmt::format("{}:{}\t-", socket.protocol,
                       socket.netlink_port ? std::to_string(*socket.netlink_port) : std::string{kUnreadable});
  default: return "-\t-";
  }
}

} // namespace

std::string socket_text(const OpenSocket& socket) {
  return fmt::format("{}\t{}\t{}", protocol(socket), state(socket), ends(socket));
}

} // namespace vmemfs
