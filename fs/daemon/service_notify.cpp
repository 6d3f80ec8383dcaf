// SPDX-License-Identifier: MIT
#include "fs/daemon/service_notify.h"

#include "util/log.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>

namespace vmemfs {

ServiceNotify ServiceNotify::from_environment() {
  constexpr const char* kVariable = "NOTIFY_SOCKET";
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
  const char* const value = std::getenv(kVariable);
  ServiceNotify notify{value != nullptr ? value : ""};
  ::unsetenv(kVariable); // NOLINT(concurrency-mt-unsafe)
  return notify;
}

void ServiceNotify::say(std::string_view what) const {
  sockaddr_un address{};
  if (socket_.empty()) {
    return;
  }
  if (socket_.size() >= sizeof(address.sun_path)) {
    log::warning("the path in NOTIFY_SOCKET is too long");
    return;
  }
  address.sun_family = AF_UNIX;
  std::ranges::copy(socket_, address.sun_path);
  if (address.sun_path[0] == '@') { // an abstract name
    address.sun_path[0] = '\0';
  }
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the socket API needs it
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  if (::sendto(socket.get(), what.data(), what.size(), MSG_NOSIGNAL, to, length) < 0) {
    log::warning("cannot notify the service manager of {}: {}", what, std::generic_category().message(errno));
  }
}

} // namespace vmemfs
