// SPDX-License-Identifier: MIT
// delay_proxy LISTEN_PORT TARGET_PORT DELAY_US: a TCP proxy on 127.0.0.1 that delays every byte by DELAY_US
// in each direction, as a network with twice that round trip does. For kernels without netem; it does not
// limit bandwidth, lose packets or vary the round trip.
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace {

using Clock = std::chrono::steady_clock;
using vmemfs::UniqueFd;

/// Bytes in transit in one direction.
class Wire {
public:
  void put(std::string bytes, Clock::time_point arrives) {
    const std::scoped_lock lock{mutex_};
    packets_.emplace_back(arrives, std::move(bytes));
    changed_.notify_all();
  }

  /// The next bytes, once they arrive; empty: the end.
  std::string take() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return !packets_.empty(); });
    const Clock::time_point arrives = packets_.front().first;
    std::string bytes = std::move(packets_.front().second);
    packets_.pop_front();
    lock.unlock();
    std::this_thread::sleep_until(arrives);
    return bytes;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Clock::time_point, std::string>> packets_;
};

struct Pair {
  UniqueFd client;
  UniqueFd server;
};

void receive(int from, Wire& wire, std::chrono::microseconds delay) {
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t got = ::recv(from, buffer.data(), buffer.size(), 0);
    wire.put({buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))}, Clock::now() + delay);
    if (got <= 0) {
      return;
    }
  }
}

void send_on(Wire& wire, int to) {
  for (std::string bytes = wire.take(); !bytes.empty(); bytes = wire.take()) {
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t sent = ::send(to, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      at += static_cast<std::size_t>(sent);
    }
  }
  ::shutdown(to, SHUT_WR);
}

void carry(const std::shared_ptr<Pair>& pair, std::chrono::microseconds delay) {
  for (const auto& [from, to] : {std::pair{pair->client.get(), pair->server.get()},
                                 std::pair{pair->server.get(), pair->client.get()}}) {
    const auto wire = std::make_shared<Wire>();
    std::thread{[pair, wire, delay, from = from] { receive(from, *wire, delay); }}.detach();
    std::thread{[pair, wire, to = to] { send_on(*wire, to); }}.detach();
  }
}

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
  for (;;) {
    const auto pair = std::make_shared<Pair>(
        Pair{UniqueFd{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)}, tcp_socket()});
    if (!pair->client ||
        ::connect(pair->server.get(), reinterpret_cast<const sockaddr*>(&there), sizeof(there)) != 0) {
      continue;
    }
    send_at_once(pair->client);
    send_at_once(pair->server);
    carry(pair, delay);
  }
}
