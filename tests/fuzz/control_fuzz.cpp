// SPDX-License-Identifier: MIT
// What users write to `control` of a VM and to `.vmemfs/control`.
#include "fs/files/control/command_file.h"
#include "fs/files/control/control_command.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  const auto lines = vmemfs::command_lines(text);
  if (!lines) {
    return;
  }
  for (const auto& line : *lines) {
    vmemfs::fuzz::expect(line.begin + line.command.size() <= text.size(), "a command lies within the text");
    static_cast<void>(vmemfs::parse_vm_command(line.command));
    static_cast<void>(vmemfs::parse_mount_command(line.command));
  }
}
