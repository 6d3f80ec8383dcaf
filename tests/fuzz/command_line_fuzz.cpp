// SPDX-License-Identifier: MIT
// The command line of a running QEMU: arguments that end in NUL, as in /proc/PID/cmdline.
#include "core/text.h"
#include "drivers/qemu/discovery/command_line.h"
#include "drivers/qemu_protocol/gdb_socket.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  std::vector<std::string> arguments;
  for (const std::string_view argument : vmemfs::split(text, '\0')) {
    arguments.emplace_back(argument);
  }
  const auto line = vmemfs::qemu::parse_qemu_command_line(arguments);
  for (const auto& socket : line.qmp) {
    const int places = (socket.path.empty() ? 0 : 1) + (socket.fd ? 1 : 0) + (socket.tcp ? 1 : 0);
    vmemfs::fuzz::expect(places == 1, "a monitor has a path, a descriptor or a TCP port");
    vmemfs::fuzz::expect(!socket.tcp || (socket.tcp->first != 0 && socket.tcp->first <= socket.tcp->last),
                         "a range of TCP ports has one");
  }
  vmemfs::fuzz::expect(vmemfs::gdb_socket_paths(arguments).size() <= 4 * arguments.size(),
                       "each path is that of an option");
  static_cast<void>(!arguments.empty() && vmemfs::qemu::is_qemu(arguments.front()));
}
