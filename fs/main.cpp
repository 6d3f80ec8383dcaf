// SPDX-License-Identifier: MIT
#include "fs/cli/check_host.h"
#include "fs/cli/complete.h"
#include "fs/cli/list_drivers.h"
#include "fs/cli/list_vms.h"
#include "fs/cli/options.h"
#include "fs/daemon/daemon.h"
#include "fs/guardian/guardian_process.h"
#include "fs/save/save.h"

#include <cstdio>
#include <exception>

int main(int argc, char** argv) try {
  const vmemfs::CommandLine command_line = vmemfs::parse_command_line(argc, argv);
  if (command_line.mount) {
    return vmemfs::run_daemon(*command_line.mount);
  }
  if (command_line.drivers) {
    return vmemfs::list_drivers(command_line.drivers->name);
  }
  if (command_line.list) {
    return vmemfs::list_vms(*command_line.list);
  }
  if (command_line.save) {
    return vmemfs::save(*command_line.save);
  }
  if (command_line.check) {
    return command_line.check->unit ? vmemfs::print_unit_settings() : vmemfs::check_host();
  }
  if (command_line.completion) {
    return vmemfs::print_completions(*command_line.completion);
  }
  if (command_line.guardian) {
    return vmemfs::run_guardian();
  }
  return command_line.exit_code;
} catch (const std::exception& exception) {
  std::fprintf(stderr, "vmemfs: %s\n", exception.what());
  return 1;
}
