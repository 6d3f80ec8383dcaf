// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/socket_tables.h"

#include "core/text.h"
#include "util/work_limit.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <netinet/in.h>
#include <optional>
#include <system_error>

namespace vmemfs::qemu {
namespace {

/// Splits off the first word of `text`.
std::string_view take_token(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view token = text.substr(0, text.find(' '));
  text.remove_prefix(token.size());
  return token;
}

void skip_tokens(std::string_view& text, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    take_token(text);
  }
}

/// "Num: RefCount Protocol Flags Type St Inode Path"
std::optional<UnixSocket> parse_unix_line(std::string_view line) {
  constexpr std::uint64_t kAcceptsConnections = 0x10000; // SO_ACCEPTCON of the kernel
  constexpr std::uint64_t kConnected = 3;                // SS_CONNECTED
  skip_tokens(line, 3);
  const auto flags = parse_hex(take_token(line));
  skip_tokens(line, 1);
  const auto state = parse_hex(take_token(line));
  const auto inode = parse_u64(take_token(line));
  if (!flags || !state || !inode || line.size() < 2) {
    return std::nullopt;
  }
  return UnixSocket{(*flags & kAcceptsConnections) != 0, *state == kConnected, *inode, line.substr(1)};
}

/// "0100007F:115C", or with four such numbers for IPv6: the address as numbers of this host's byte order.
std::optional<TcpEnd> parse_end(std::string_view text) {
  constexpr std::size_t kDigits = 8;
  const std::size_t colon = text.find(':');
  const auto port = colon == std::string_view::npos ? std::nullopt : parse_hex(text.substr(colon + 1));
  if (!port || *port > UINT16_MAX || (colon != kDigits && colon != 4 * kDigits)) {
    return std::nullopt;
  }
  std::array<std::uint32_t, 4> words{};
  for (std::size_t i = 0; i < colon / kDigits; ++i) {
    const auto word = parse_hex(text.substr(i * kDigits, kDigits));
    if (!word) {
      return std::nullopt;
    }
    words[i] = static_cast<std::uint32_t>(*word);
  }
  sockaddr_storage address{};
  if (colon == kDigits) {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(static_cast<std::uint16_t>(*port));
    std::memcpy(&ipv4.sin_addr, words.data(), sizeof(ipv4.sin_addr));
    std::memcpy(&address, &ipv4, sizeof(ipv4));
  } else {
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(static_cast<std::uint16_t>(*port));
    std::memcpy(&ipv6.sin6_addr, words.data(), sizeof(ipv6.sin6_addr));
    std::memcpy(&address, &ipv6, sizeof(ipv6));
  }
  return tcp_end(address);
}

/// "sl: local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ..."
std::optional<TcpSocket> parse_tcp_line(std::string_view line) {
  constexpr std::uint64_t kEstablished = 1; // TCP_ESTABLISHED, TCP_LISTEN of the kernel
  constexpr std::uint64_t kListen = 10;
  skip_tokens(line, 1);
  const auto local = parse_end(take_token(line));
  const auto remote = parse_end(take_token(line));
  const auto state = parse_hex(take_token(line));
  skip_tokens(line, 5);
  const auto inode = parse_u64(take_token(line));
  if (!local || !remote || !state || !inode) {
    return std::nullopt;
  }
  return TcpSocket{*state == kListen, *state == kEstablished, *local, *remote, *inode};
}

/// Whether `matches` is true for a line that `parse` can read.
template <typename Parse, typename Matches>
bool any_line(const std::string& path, Parse parse, const Matches& matches) {
  std::ifstream table{path};
  // Whoever has a network namespace decides how long its table is.
  for (std::string line; !WorkLimit::over() && std::getline(table, line);) {
    if (const auto row = parse(line); row && matches(*row)) {
      return true;
    }
  }
  return false;
}

} // namespace

bool any_unix_socket(const std::string& net, const std::function<bool(const UnixSocket&)>& matches) {
  return any_line(net + "/unix", parse_unix_line, matches);
}

bool any_tcp_socket(const std::string& net, const std::function<bool(const TcpSocket&)>& matches) {
  return any_line(net + "/tcp", parse_tcp_line, matches) || any_line(net + "/tcp6", parse_tcp_line, matches);
}

std::uint64_t socket_inode(std::string_view target) {
  constexpr std::string_view kPrefix = "socket:[";
  if (!target.starts_with(kPrefix) || !target.ends_with(']')) {
    return 0;
  }
  return parse_u64(target.substr(kPrefix.size(), target.size() - kPrefix.size() - 1)).value_or(0);
}

Result<Inodes> sockets_of(const std::string& process) {
  std::error_code error;
  std::filesystem::directory_iterator entry{process + "/fd", error};
  if (error) {
    return fail_errno(error.value(), "qmp", fmt::format("cannot list {}/fd", process));
  }
  Inodes inodes;
  for (std::size_t count = 0; entry != std::filesystem::directory_iterator{}; ++count) {
    if (count == kMaxOwnerFiles) {
      return fail(ErrorKind::unsupported, "qmp",
                  fmt::format("it has more than {} open files", kMaxOwnerFiles));
    }
    const auto target = std::filesystem::read_symlink(entry->path(), error); // may be closed meanwhile
    if (const std::uint64_t inode = error ? 0 : socket_inode(target.native()); inode != 0) {
      inodes.insert(inode);
    }
    entry.increment(error);
    if (error) {
      return fail_errno(error.value(), "qmp", fmt::format("cannot list {}/fd", process));
    }
  }
  return inodes;
}

} // namespace vmemfs::qemu
