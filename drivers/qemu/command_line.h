// SPDX-License-Identifier: MIT
// What a QEMU command line says about its VM and its monitors. To reach these see monitor_socket.h.
//
// Only QEMU's own syntax is read (options with one or two dashes; `key=value,...` with ",," for a comma
// in a value; a first piece without "=" is the option's implied key).
//
// Pure functions, thread-safe. The text is not trusted.
#pragma once

#include "drivers/qemu/monitor_socket.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {

struct QemuCommandLine {
  std::string name;
  std::string uuid;
  std::string machine;            ///< type, as in -machine: "pc", "q35", "pc-q35-7.2", ...
  std::uint64_t memory_bytes = 0; ///< from -m; 0: not given, QEMU then takes 128 MiB
  std::vector<MonitorSocket> qmp; ///< in the order of the command line
  std::uint32_t vcpus = 1;        ///< at the start; hot-plugged ones are not on the command line
  bool gdbstub = false;           ///< started with -s or -gdb
};

/// `arguments` begins with the program's name. Never fails: what it does not understand it skips.
[[nodiscard]] QemuCommandLine parse_qemu_command_line(std::span<const std::string> arguments);

/// True for the name (or path) of a QEMU system emulator: qemu-system-*, qemu-kvm, and the 15
/// characters that a comm keeps of these.
[[nodiscard]] bool is_qemu(std::string_view program);

} // namespace vmemfs::qemu
