// SPDX-License-Identifier: MIT
// A peer of the listening socket that sends what a test wants, byte by byte.
#pragma once

#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

namespace vmemfs::kvmi {

/// A greeting of 96 bytes.
struct RawGreeting {
  std::uint32_t size = 96;
  std::array<std::uint8_t, 16> uuid{};
  std::uint32_t padding = 0;
  std::int64_t start_time = 0;
  std::array<char, 64> name{};

  static RawGreeting of(const std::string& name, std::uint8_t number) {
    RawGreeting greeting;
    greeting.uuid.fill(number);
    std::memcpy(greeting.name.data(), name.data(), std::min(name.size(), greeting.name.size() - 1));
    return greeting;
  }
};
static_assert(sizeof(RawGreeting) == 96);

class RawPeer {
public:
  explicit RawPeer(const std::string& path) : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
    connected_ = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    const timeval limit{5, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  [[nodiscard]] bool connected() const { return connected_; }
  /// Sends the greeting and takes the answer.
  [[nodiscard]] bool greet(const RawGreeting& greeting) const {
    std::array<char, 24> answer{};
    return ::send(socket_.get(), &greeting, sizeof(greeting), MSG_NOSIGNAL) == sizeof(greeting) &&
           ::recv(socket_.get(), answer.data(), answer.size(), MSG_WAITALL) ==
               static_cast<ssize_t>(answer.size());
  }
  /// Whether the other side closes the connection, within 5 s.
  [[nodiscard]] bool is_closed() const {
    char byte = 0;
    return ::recv(socket_.get(), &byte, 1, 0) == 0 || errno == ECONNRESET;
  }

private:
  UniqueFd socket_;
  bool connected_ = false;
};

} // namespace vmemfs::kvmi
