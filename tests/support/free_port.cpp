// SPDX-License-Identifier: MIT
#include "support/free_port.h"

#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <utility>

namespace vmemfs::test {

BoundSocket bind_to_free_port() {
  UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error{"no free port"};
  }
  return {std::move(socket), ntohs(address.sin_port)};
}

unsigned free_port() { return bind_to_free_port().port; }

} // namespace vmemfs::test
