// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/link/server_clients.h"

#include "core/text.h"
#include "util/work_limit.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <netinet/in.h>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::gdbstub {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPollInterval{20};

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (const std::string_view word : split(line, ' ')) {
    if (!word.empty()) {
      words.push_back(word);
    }
  }
  return words;
}

std::string text_of(const char* file) {
  std::ostringstream text;
  text << std::ifstream{file}.rdbuf();
  return std::move(text).str();
}

/// A line of /proc/net/unix: address, users, protocol, flags, type, state, inode, path.
struct UnixSocket {
  bool listens;
  bool is_connection; ///< accepted, or waiting for that
  std::string_view path;
};

std::optional<UnixSocket> parse_unix_line(std::string_view line) {
  constexpr std::size_t kFlags = 3;
  constexpr std::size_t kState = 5;
  constexpr std::size_t kInode = 6;
  constexpr std::uint64_t kListens = 0x10000;
  constexpr std::uint64_t kConnecting = 2;
  constexpr std::uint64_t kConnected = 3;
  const auto words = words_of(line);
  if (words.size() <= kInode + 1) {
    return std::nullopt; // it has no path
  }
  const auto flags = parse_hex(words[kFlags]);
  const auto state = parse_hex(words[kState]);
  if (!flags || !state) {
    return std::nullopt; // the line of titles
  }
  const auto path = static_cast<std::size_t>(words[kInode + 1].data() - line.data()); // it may have blanks
  return UnixSocket{(*flags & kListens) != 0, *state == kConnecting || *state == kConnected,
                    line.substr(path)};
}

/// An address as /proc/net/tcp and tcp6 have it: 32-bit words in the order of the host's bytes, and the port.
/// Of IPv4, also as a server has it that listens for both.
std::vector<std::string> kernel_forms(const ServerAddress& address) {
  const auto words = [](const auto& bytes) {
    std::string text;
    for (std::size_t at = 0; at < sizeof(bytes); at += sizeof(std::uint32_t)) {
      std::uint32_t word = 0;
      std::memcpy(&word, reinterpret_cast<const char*>(&bytes) + at, sizeof(word));
      text += fmt::format("{:08X}", word);
    }
    return text;
  };
  in_addr ipv4{};
  if (::inet_pton(AF_INET, address.host.c_str(), &ipv4) == 1) {
    in6_addr mapped{};
    ::inet_pton(AF_INET6, fmt::format("::ffff:{}", address.host).c_str(), &mapped);
    return {fmt::format("{}:{:04X}", words(ipv4), address.port),
            fmt::format("{}:{:04X}", words(mapped), address.port)};
  }
  in6_addr ipv6{};
  if (::inet_pton(AF_INET6, address.host.c_str(), &ipv6) == 1) {
    return {fmt::format("{}:{:04X}", words(ipv6), address.port)};
  }
  return {};
}

bool has_client(const ServerAddress& address) {
  if (address.is_unix()) {
    return lists_unix_client(text_of("/proc/net/unix"), address.path);
  }
  return lists_tcp_client(text_of("/proc/net/tcp"), address) ||
         lists_tcp_client(text_of("/proc/net/tcp6"), address);
}

} // namespace

bool lists_unix_client(std::string_view proc_net_unix, std::string_view path) {
  std::vector<UnixSocket> sockets;
  std::vector<std::string_view> servers; // different paths
  for (const std::string_view line : split(proc_net_unix, '\n')) {
    const auto socket = parse_unix_line(line);
    const bool is_end =
        socket && path.ends_with(socket->path) &&
        (path.size() == socket->path.size() || path[path.size() - socket->path.size() - 1] == '/');
    if (!is_end) {
      continue;
    }
    sockets.push_back(*socket);
    if (socket->listens) {
      servers.push_back(socket->path);
    }
  }
  const auto exact = std::ranges::find(servers, path);
  if (exact == servers.end() && servers.size() != 1) {
    return false;
  }
  const std::string_view server = exact == servers.end() ? servers.front() : path;
  return std::ranges::any_of(
      sockets, [&](const UnixSocket& socket) { return socket.is_connection && socket.path == server; });
}

bool lists_tcp_client(std::string_view proc_net_tcp, const ServerAddress& address) {
  constexpr std::size_t kLocal = 1;
  constexpr std::size_t kState = 3;
  constexpr std::string_view kEstablished = "01";
  const auto forms = kernel_forms(address);
  return std::ranges::any_of(split(proc_net_tcp, '\n'), [&](std::string_view line) {
    const auto words = words_of(line);
    return words.size() > kState && words[kState] == kEstablished &&
           std::ranges::find(forms, words[kLocal]) != forms.end();
  });
}

Result<void> wait_until_free(const ServerAddress& address, Clock::time_point deadline) {
  while (has_client(address)) {
    if (Clock::now() >= deadline || WorkLimit::over()) {
      return fail(
          ErrorKind::busy, "gdbstub",
          fmt::format("the server on {} has a client, and it takes one: end that debugger or mount first; "
                      "it was not connected to, as that would stop its target later",
                      to_string(address)));
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return {};
}

} // namespace vmemfs::gdbstub
