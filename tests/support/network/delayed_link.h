// SPDX-License-Identifier: MIT
// Link between two connected sockets that delays every byte, as a network with twice that round trip does.
#pragma once

#include "util/unique_fd.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace vmemfs::test {

/// Bytes under way in one direction. Thread-safe.
class DelayedBytes {
public:
  using Clock = std::chrono::steady_clock;

  void put(std::string bytes, Clock::time_point arrives);
  /// The next ones, when they arrive, with all that have arrived by then; empty: the end.
  [[nodiscard]] std::string take();

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Clock::time_point, std::string>> chunks_;
};

/// Passes on what either side sends. It does not limit bandwidth, lose bytes or vary the delay.
class DelayedLink {
public:
  using Note = std::function<void(std::string_view)>;

  /// `requested` is called when bytes of the client arrive, `replied` before bytes of the server are passed
  /// on; each by one thread.
  DelayedLink(
      UniqueFd client, UniqueFd server, std::chrono::microseconds delay, Note requested = [](auto) {},
      Note replied = [](auto) {});
  ~DelayedLink(); ///< ends both connections
  DelayedLink(const DelayedLink&) = delete;
  DelayedLink& operator=(const DelayedLink&) = delete;

  /// True when neither side sends any more.
  [[nodiscard]] bool ended() const { return open_directions_ == 0; }

private:
  void receive(const UniqueFd& from, DelayedBytes& under_way, const Note& arrived) const;
  void send(DelayedBytes& under_way, const UniqueFd& to, const Note& leaves);

  const UniqueFd client_;
  const UniqueFd server_;
  const std::chrono::microseconds delay_;
  const Note requested_;
  const Note replied_;
  std::atomic<int> open_directions_{2};
  DelayedBytes to_server_;
  DelayedBytes to_client_;
  std::jthread requests_;
  std::jthread requests_out_;
  std::jthread replies_;
  std::jthread replies_out_;
};

} // namespace vmemfs::test
