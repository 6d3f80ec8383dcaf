// SPDX-License-Identifier: MIT
#include "support/gdb/gdb_client.h"

#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>

namespace vmemfs::test {
namespace {

constexpr int kSilenceMs = 20'000;

template <typename Address> UniqueFd connect_to(const Address& address, int family) {
  UniqueFd socket{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error{"cannot connect to the gdbstub"};
  }
  return socket;
}

} // namespace

GdbClient::GdbClient(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  socket_ = connect_to(address, AF_UNIX);
}

GdbClient::GdbClient(unsigned port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  socket_ = connect_to(address, AF_INET);
}

std::string GdbClient::ask(const std::string& payload) {
  unsigned sum = 0;
  for (const char c : payload) {
    sum += static_cast<unsigned char>(c);
  }
  // With an acknowledgement of the last reply, as gdb sends it.
  const std::string packet = fmt::format("+${}#{:02x}", payload, sum & 0xffU);
  if (::send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(packet.size())) {
    return "(closed)";
  }
  for (;;) {
    const std::size_t begin = received_.find('$');
    const std::size_t end = received_.find('#', begin);
    if (begin != std::string::npos && end != std::string::npos && end + 2 < received_.size()) {
      const std::string reply = received_.substr(begin + 1, end - begin - 1);
      received_.erase(0, end + 3);
      if (!reply.starts_with('T')) {
        return reply;
      }
      continue;
    }
    pollfd readable{socket_.get(), POLLIN, 0};
    if (::poll(&readable, 1, kSilenceMs) <= 0) {
      return "(silent)";
    }
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      return "(closed)";
    }
    received_.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

} // namespace vmemfs::test
