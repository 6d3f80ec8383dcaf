// SPDX-License-Identifier: MIT
// Way to a server on a UNIX socket with a longer round trip: a socket in front of it, and two threads that
// pass on what they get after a delay. It counts the round trips that its client has waited for.
#pragma once

#include "support/files.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <utility>

namespace vmemfs::test {

/// Round trips of a client that sends packets of GDB's protocol without acknowledgements. Each request is a
/// step later than the last reply that the client had when it sent it, and a reply is of its request's step.
/// So requests that are under way together are one round trip, however long they take. Thread-safe.
class RoundTrips {
public:
  /// Called when bytes of the client arrive.
  void requested(std::string_view bytes) {
    const std::scoped_lock lock{mutex_};
    const auto packets = static_cast<std::size_t>(std::ranges::count(bytes, '$'));
    steps_.insert(steps_.end(), packets, answered_ + 1);
    last_ = packets > 0 ? answered_ + 1 : last_;
  }
  /// Called before bytes of the server are passed on.
  void replied(std::string_view bytes) {
    const std::scoped_lock lock{mutex_};
    for (auto packets = std::ranges::count(bytes, '$'); packets > 0 && !steps_.empty(); --packets) {
      answered_ = std::max(answered_, steps_.front());
      steps_.pop_front();
    }
  }
  [[nodiscard]] unsigned count() const {
    const std::scoped_lock lock{mutex_};
    return last_;
  }

private:
  mutable std::mutex mutex_;
  std::deque<unsigned> steps_; ///< of the requests without a reply
  unsigned answered_ = 0;      ///< step of the last reply
  unsigned last_ = 0;          ///< step of the last request
};

/// Bytes under way in one direction. Thread-safe.
class DelayedBytes {
public:
  using Clock = std::chrono::steady_clock;

  void put(std::string bytes, Clock::time_point arrives) {
    const std::scoped_lock lock{mutex_};
    chunks_.emplace_back(arrives, std::move(bytes));
    changed_.notify_all();
  }
  /// The next ones, when they arrive, with all that have arrived by then; empty: the end.
  [[nodiscard]] std::string take() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return !chunks_.empty(); });
    const auto arrives = chunks_.front().first;
    lock.unlock();
    std::this_thread::sleep_until(arrives);
    lock.lock();
    std::string bytes = std::move(chunks_.front().second);
    chunks_.pop_front();
    const auto now = Clock::now();
    while (!bytes.empty() && !chunks_.empty() && chunks_.front().first <= now &&
           !chunks_.front().second.empty()) {
      bytes += chunks_.front().second;
      chunks_.pop_front();
    }
    return bytes;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Clock::time_point, std::string>> chunks_;
};

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
  [[nodiscard]] const RoundTrips& round_trips() const { return round_trips_; }

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
    const std::jthread replies{[&] {
      pass_on(
          stop, server, client, [](auto) {}, [this](auto bytes) { round_trips_.replied(bytes); });
    }};
    pass_on(
        stop, client, server, [this](auto bytes) { round_trips_.requested(bytes); }, [](auto) {});
  }

  using Note = std::function<void(std::string_view)>;
  void pass_on(const std::stop_token& stop, const UniqueFd& from, const UniqueFd& to, const Note& arrived,
               const Note& leaves) const {
    DelayedBytes under_way;
    const std::jthread sender{[&] {
      for (std::string bytes = under_way.take(); !bytes.empty(); bytes = under_way.take()) {
        leaves(bytes);
        if (!send_all(to, bytes)) {
          return;
        }
      }
      ::shutdown(to.get(), SHUT_RDWR);
    }};
    std::array<char, 65536> bytes{};
    for (ssize_t got = 1; got > 0;) {
      while (!readable(from) && !stop.stop_requested()) {
      }
      got = stop.stop_requested() ? 0 : ::recv(from.get(), bytes.data(), bytes.size(), 0);
      const std::string_view chunk{bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
      arrived(chunk);
      under_way.put(std::string{chunk}, DelayedBytes::Clock::now() + delay_);
    }
  }

  static bool send_all(const UniqueFd& to, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  TempDir dir_;
  const std::string server_;
  const std::chrono::microseconds delay_;
  RoundTrips round_trips_;
  const UniqueFd listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::jthread thread_;
};

} // namespace vmemfs::test
