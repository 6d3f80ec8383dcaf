#include "fs/app/daemon.h"
#include "fs/app/guardian_process.h"
#include "fs/app/list_drivers.h"
#include "fs/app/options.h"

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
  if (command_line.guardian) {
    return vmemfs::run_guardian();
  }
  return command_line.exit_code;
} catch (const std::exception& exception) {
  std::fprintf(stderr, "vmemfs: %s\n", exception.what());
  return 1;
}
