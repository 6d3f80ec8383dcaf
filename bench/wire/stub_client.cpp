// SPDX-License-Identifier: MIT
#include "wire/stub_client.h"

#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fmt/format.h>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <vector>

namespace vmemfs::bench {
namespace {

constexpr std::size_t kPacket = 2048;

std::string framed(std::string_view payload) {
  const unsigned sum = std::accumulate(payload.begin(), payload.end(), 0U);
  return fmt::format("${}#{:02x}", payload, sum % 256);
}

class Connection {
public:
  explicit Connection(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error{"cannot connect to " + path};
    }
  }

  /// Without waiting: the stub takes nothing while nobody takes its replies. What is left is sent later.
  void send(std::string_view bytes) {
    unsent_ += bytes;
    const ssize_t sent =
        unsent_.empty() ? 0
                        : ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) {
      throw std::runtime_error{"the stub takes no requests"};
    }
    unsent_.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  }

  /// How many packets end in what has come.
  std::size_t receive() {
    const ssize_t got = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
    if (got <= 0) {
      throw std::runtime_error{"the stub has closed the connection"};
    }
    return static_cast<std::size_t>(std::count(buffer_.begin(), buffer_.begin() + got, '#'));
  }

  void ask(std::string_view request) {
    send(framed(request));
    while (receive() == 0) {
    }
  }

private:
  const UniqueFd socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string unsent_;
  std::vector<char> buffer_ = std::vector<char>(std::size_t{256} << 10U);
};

} // namespace

double stub_speed(const std::string& path, std::uint64_t begin, std::size_t bytes, std::size_t under_way) {
  Connection stub{path};
  stub.ask("QStartNoAckMode");
  stub.send("+");
  stub.ask("?");
  stub.ask("Qqemu.PhyMemMode:1");
  const std::size_t count = bytes / kPacket;
  std::size_t sent = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t done = 0; done < count; done += stub.receive()) {
    std::string requests;
    const bool refill = sent - done <= under_way / 2; // many small sends fill a socket with a few bytes
    for (; refill && sent < std::min(count, done + under_way); ++sent) {
      requests += framed(fmt::format("m{:x},{:x}", begin + sent * kPacket, kPacket));
    }
    stub.send(requests);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(bytes) / 1e6 / took.count();
}

} // namespace vmemfs::bench
