// SPDX-License-Identifier: MIT
// Parser of a QEMU command line: the VM's identity and its monitors. monitor_socket.h finds a way to the
// monitors.
//
// Format: QEMU's own syntax (options with one or two dashes; their arguments: option_text.h).
//
// Pure functions, thread-safe. The text is not trusted.
#pragma once

#include "drivers/qemu/monitor/monitor_socket.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {

/// QMP sockets that are looked at, and the others that are named in a reason; a QEMU needs one for vmemfs and
/// one for each of its other clients.
inline constexpr std::size_t kMaxMonitors = 4;

struct QemuCommandLine {
  std::string name;
  std::string uuid;
  std::string machine;            ///< type as in -machine, such as "pc", "q35" or "pc-q35-7.2"
  std::uint64_t memory_bytes = 0; ///< from -m; 0: not given, QEMU's default of 128 MiB applies
  std::vector<MonitorSocket> qmp; ///< the first kMaxMonitors of the command line, in its order
  std::size_t more_qmp = 0;       ///< those after them
  /// Of the first kMaxMonitors other QMP monitors the reasons why they are not used:
  /// MonitorBackend::unusable.
  std::vector<std::string> unusable_qmp;
  std::uint32_t vcpus = 1; ///< at start; hot-plugged vCPUs are not on the command line
  bool more_vcpus = false; ///< the machine has room for vCPUs that are not plugged in at start
  std::string gdbstub;     ///< device of -gdb as given, "tcp::1234" for -s; empty: neither
  /// Ids of the chardev that the gdbstub is on if the user started it, here or later by the monitor.
  std::vector<std::string> gdbstub_chardevs;
  bool reads_config = false; ///< started with -readconfig: a file that may name more of everything
  bool stopped = false;      ///< started with -S: the guest runs only after a command
};

/// `arguments` begins with the program's name. Never fails: unknown options are skipped.
[[nodiscard]] QemuCommandLine parse_qemu_command_line(std::span<const std::string> arguments);

/// True if `program` is the name or path of a QEMU system emulator: qemu-system-*, qemu-kvm, and their first
/// 15 characters as in /proc/PID/comm.
[[nodiscard]] bool is_qemu(std::string_view program);

} // namespace vmemfs::qemu
