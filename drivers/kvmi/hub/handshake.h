// SPDX-License-Identifier: MIT
// A connection whose greeting has not come yet.
#pragma once

#include "core/error.h"
#include "drivers/kvmi/wire/greeting.h"
#include "util/unique_fd.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::kvmi {

/// Not thread-safe. Never waits.
class Handshake {
public:
  using Clock = std::chrono::steady_clock;

  Handshake(UniqueFd socket, pid_t process, Clock::time_point deadline)
      : socket_{std::move(socket)}, process_{process}, deadline_{deadline} {}

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] pid_t process() const { return process_; }
  [[nodiscard]] Clock::time_point deadline() const { return deadline_; }

  /// Takes what has come. When the greeting is complete, sends the answer and gives it; nullopt: more has to
  /// come. Any failure means that the connection is of no use.
  [[nodiscard]] Result<std::optional<Greeting>> advance(std::string_view secret);

  /// After advance() gave a greeting.
  [[nodiscard]] UniqueFd take_socket() { return std::move(socket_); }

private:
  UniqueFd socket_;
  pid_t process_;
  Clock::time_point deadline_;
  std::array<std::byte, kGreetingKnown> bytes_{};
  std::size_t received_ = 0;
  std::size_t size_ = 0; ///< of the whole greeting; 0: not known yet
};

} // namespace vmemfs::kvmi
