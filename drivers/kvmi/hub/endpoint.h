// SPDX-License-Identifier: MIT
// The place at which VMs connect to us: a UNIX socket or a port of vsock.
#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <string>

namespace vmemfs::kvmi {

struct Endpoint {
  std::string path; ///< empty: vsock
  std::uint32_t vsock_port = 0;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;

  [[nodiscard]] bool is_vsock() const { return path.empty(); }
  /// For messages, and to compare two of them.
  [[nodiscard]] std::string text() const {
    return is_vsock() ? fmt::format("vsock port {}", vsock_port) : path;
  }
};

} // namespace vmemfs::kvmi
