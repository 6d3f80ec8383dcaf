// SPDX-License-Identifier: MIT
#include "util/network.h"

#include "util/unique_fd.h"

#include <cerrno>
#include <sys/socket.h>

namespace vmemfs {

bool has_network() {
  const UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  return socket || errno != EAFNOSUPPORT;
}

} // namespace vmemfs
