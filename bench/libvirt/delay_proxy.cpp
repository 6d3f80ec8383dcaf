// SPDX-License-Identifier: MIT
// delay_proxy LISTEN_PORT TARGET_PORT DELAY_US: a TCP proxy on 127.0.0.1 that delays every byte by DELAY_US
// in each direction, as a network with twice that round trip does. For kernels without netem; it does not
// limit bandwidth, lose packets or vary the round trip.
#include "support/network/delayed_link.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

namespace {

using vmemfs::UniqueFd;
using vmemfs::test::DelayedLink;

sockaddr_in local(unsigned port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

UniqueFd tcp_socket() { return UniqueFd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}; }

void send_at_once(const UniqueFd& socket) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: delay_proxy LISTEN_PORT TARGET_PORT DELAY_US\n", stderr);
    return 2;
  }
  const sockaddr_in here = local(static_cast<unsigned>(std::atoi(argv[1])));
  const sockaddr_in there = local(static_cast<unsigned>(std::atoi(argv[2])));
  const std::chrono::microseconds delay{std::atoi(argv[3])};
  const UniqueFd listener = tcp_socket();
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)) != 0 ||
      ::listen(listener.get(), 16) != 0) {
    std::perror("delay_proxy: cannot listen");
    return 1;
  }
  std::list<DelayedLink> links;
  for (;;) {
    UniqueFd client{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    UniqueFd server = tcp_socket();
    links.remove_if([](const DelayedLink& link) { return link.ended(); });
    if (!client || ::connect(server.get(), reinterpret_cast<const sockaddr*>(&there), sizeof(there)) != 0) {
      continue;
    }
    send_at_once(client);
    send_at_once(server);
    links.emplace_back(std::move(client), std::move(server), delay);
  }
}
