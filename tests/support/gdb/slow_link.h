// SPDX-License-Identifier: MIT
// Way to a server on a UNIX socket with a longer round trip: a socket in front of it, and two threads that
// pass on what they get after a delay.
#pragma once

#include "support/files.h"
#include "util/unique_fd.h"

#include <array>
#include <chrono>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <utility>

namespace vmemfs::test {

/// For one client. Throws std::runtime_error.
class SlowLink {
public:
  SlowLink(std::string server, std::chrono::microseconds round_trip)
      : server_{std::move(server)}, delay_{round_trip / 2} {
    const sockaddr_un address = address_of(path());
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(listener_.get(), 1) != 0) {
      throw std::runtime_error{"cannot listen at " + path()};
    }
    thread_ = std::jthread{[this](const std::stop_token& stop) { serve(stop); }};
  }

  [[nodiscard]] std::string path() const { return dir_ / "slow"; }

private:
  static sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return address;
  }

  static bool readable(const UniqueFd& socket) {
    pollfd entry{socket.get(), POLLIN, 0};
    return ::poll(&entry, 1, 20) > 0;
  }

  void serve(const std::stop_token& stop) {
    while (!readable(listener_)) {
      if (stop.stop_requested()) {
        return;
      }
    }
    const UniqueFd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    const UniqueFd server{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const sockaddr_un address = address_of(server_);
    if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return;
    }
    const std::jthread replies{[&] { pass_on(stop, server, client); }};
    pass_on(stop, client, server);
  }

  void pass_on(const std::stop_token& stop, const UniqueFd& from, const UniqueFd& to) const {
    std::array<char, 65536> bytes{};
    while (!stop.stop_requested()) {
      if (!readable(from)) {
        continue;
      }
      const ssize_t got = ::recv(from.get(), bytes.data(), bytes.size(), 0);
      std::this_thread::sleep_for(delay_);
      if (got <= 0 || ::send(to.get(), bytes.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) {
        ::shutdown(to.get(), SHUT_RDWR);
        return;
      }
    }
  }

  TempDir dir_;
  const std::string server_;
  const std::chrono::microseconds delay_;
  const UniqueFd listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::jthread thread_;
};

} // namespace vmemfs::test
