// SPDX-License-Identifier: MIT
// Protocol of backing ids between the daemon and the mounter, on the same socket as
// fs/mounter/mounter_message.h: messages of fixed size with the descriptors that they are about.
#pragma once

#include "util/unique_fd.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

enum class BackingCommand : std::uint32_t {
  open = 1,  ///< with the device and the file; is answered
  close = 2, ///< with the device; is not answered
};

/// From the daemon.
struct BackingRequest {
  BackingCommand command{};
  std::uint32_t number = 0; ///< of the request
  std::int32_t id = 0;      ///< to close
};

/// To the daemon.
struct BackingAnswer {
  std::uint32_t number = 0; ///< of the request
  std::int32_t result = 0;  ///< the id, or an errno as a negative number
};

/// Descriptors that a message has.
using BackingFds = std::array<UniqueFd, 2>;

/// Sends a message without waiting; false if that is not possible. A message has two descriptors at most.
[[nodiscard]] bool send_backing_message(int socket, std::span<const std::byte> message,
                                        std::span<const int> fds);

/// Receives a message, for which it waits if the socket blocks. Returns its size: 0 if the other side has
/// ended, -1 after an error. `fds` gets its descriptors.
[[nodiscard]] std::ptrdiff_t receive_backing_message(int socket, std::span<std::byte> message,
                                                     BackingFds& fds);

} // namespace vmemfs
