// SPDX-License-Identifier: MIT
// Needs of a driver: the privileges that it uses after the daemon has given up all others.
//
// The capabilities that the daemon keeps, its system call filter, `vmemfs check` and the settings of the
// systemd unit follow from them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Texts have static storage duration. What only DriverType::make_runtime() uses is not declared here: it
/// runs before privileges are given up.
struct Needs {
  struct Capability {
    int number;               ///< CAP_... of <linux/capability.h>
    std::string_view why;     ///< a few words for the user: what it gives access to
    bool for_network = false; ///< of use only together with the network
  };
  /// A call beyond those of an ordinary program: one that the daemon's filter refuses otherwise, or that is
  /// not in systemd's set @system-service.
  struct SystemCall {
    std::string_view name;
    std::string_view why;
    /// The values of its first argument that are needed, sorted: for a call that does many things, such as
    /// bpf(2). Empty: all.
    std::vector<std::uint32_t> commands{};
  };
  /// Opened for reading and writing.
  struct DeviceNode {
    std::string_view path;
    std::string_view why;
    bool optional = false; ///< used where it exists, and not missed elsewhere
  };

  bool network = false; ///< sockets other than UNIX sockets
  std::vector<Capability> capabilities{};
  std::vector<SystemCall> system_calls{};
  std::vector<DeviceNode> devices{};

  /// Makes this the union of both. The reason of a need that both have is the first one's.
  void add(const Needs& other);

  /// Capabilities that are of use: those for the network only if it is needed.
  [[nodiscard]] std::vector<Capability> useful_capabilities() const;
};

} // namespace vmemfs
