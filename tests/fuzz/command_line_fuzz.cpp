// SPDX-License-Identifier: MIT
// The command line of a running QEMU: arguments that end in NUL, as in /proc/PID/cmdline.
#include "core/text.h"
#include "drivers/qemu/discovery/command_line.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  std::vector<std::string> arguments;
  for (const std::string_view argument : vmemfs::split(text, '\0')) {
    arguments.emplace_back(argument);
  }
  const auto line = vmemfs::qemu::parse_qemu_command_line(arguments);
  for (const auto& socket : line.qmp) {
    vmemfs::fuzz::expect(socket.path.empty() == socket.fd.has_value(),
                         "a monitor has a path or a descriptor");
  }
  static_cast<void>(!arguments.empty() && vmemfs::qemu::is_qemu(arguments.front()));
}
