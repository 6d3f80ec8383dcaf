// SPDX-License-Identifier: MIT
// Way to a GDB server on a UNIX socket with a longer round trip, which counts those that its client has
// waited for.
#pragma once

#include "support/files.h"
#include "support/gdb/round_trips.h"
#include "support/network/delayed_link.h"
#include "util/unique_fd.h"

#include <chrono>
#include <optional>
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
    thread_ = std::jthread{[this](const std::stop_token& stop) { accept(stop); }};
  }

  [[nodiscard]] std::string path() const { return dir_ / "slow"; }
  [[nodiscard]] const RoundTrips& round_trips() const { return round_trips_; }

private:
  static sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return address;
  }

  void accept(const std::stop_token& stop) {
    pollfd entry{listener_.get(), POLLIN, 0};
    while (::poll(&entry, 1, 20) <= 0) {
      if (stop.stop_requested()) {
        return;
      }
    }
    UniqueFd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    UniqueFd server{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const sockaddr_un address = address_of(server_);
    if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      link_.emplace(
          std::move(client), std::move(server), delay_, [this](auto bytes) { round_trips_.requested(bytes); },
          [this](auto bytes) { round_trips_.replied(bytes); });
    }
  }

  TempDir dir_;
  const std::string server_;
  const std::chrono::microseconds delay_;
  RoundTrips round_trips_;
  const UniqueFd listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::optional<DelayedLink> link_; ///< made by the thread
  std::jthread thread_;
};

} // namespace vmemfs::test
