// SPDX-License-Identifier: MIT
// Facts of a server and its target, as asked after connecting.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/vcpu_set.h"
#include "drivers/gdbstub/link/server_link.h"
#include "drivers/gdbstub/target/target_description.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::gdbstub {

/// The server's name of a vCPU: a thread ID, as H takes it.
struct ServerThread {
  VcpuId vcpu;
  std::string id;

  friend bool operator==(const ServerThread&, const ServerThread&) = default;
};

struct ServerFacts {
  std::size_t read_bytes = 0; ///< of memory, with one request
  bool binary_reads = false;  ///< by packet x, with "b" before the bytes (GDB 16)
  bool physical = false;      ///< it can take guest physical addresses: QEMU since 4.2
  bool steps_threads = false; ///< it takes vCont;c
  /// The target's process, in hex, if the server's thread IDs name it ("p1.2"), although that was not asked
  /// for: QEMU goes on with it for all clients once one has asked. Empty: they are plain numbers.
  std::string process{};
  /// Whether the target ran before connecting stopped it; nullopt: the server does not say.
  std::optional<bool> found_running{};
  std::string stop_report{};
  std::optional<std::string> memory_map{};                     ///< XML
  Result<TargetDescription> description = TargetDescription{}; ///< or why there is none
  std::vector<ServerThread> threads{};                         ///< sorted by vCPU; never empty
};

/// Learns how to talk to the server, which changes the link's manners, and asks it for everything. Limited in
/// packets, bytes and time. timed_out: no answer. vm_gone: its target has ended. source_failed: it does not
/// speak the protocol. `ran`, which is set on failure too: whether connecting has stopped the target, if that
/// was found out.
[[nodiscard]] Result<ServerFacts> greet(ServerLink& link, std::optional<bool>& ran);

/// The vCPUs that the server has now; see ServerFacts::threads. `by_id`: thread N is vCPU N - 1 even if some
/// are missing, as in QEMU.
[[nodiscard]] Result<std::vector<ServerThread>> list_threads(ServerLink& link, bool by_id);

[[nodiscard]] Result<VcpuSet> vcpus_of(const std::vector<ServerThread>& threads);

} // namespace vmemfs::gdbstub
