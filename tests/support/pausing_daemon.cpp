// SPDX-License-Identifier: MIT
// pausing_daemon PROGRAM VM [disarm]: what the daemon does when it pauses a VM, and nothing else. VM is a
// VM as after --vm, PROGRAM a vmemfs for the guardian.
//
// Has a guardian take the VM's ticket, pauses the VM and, with `disarm`, takes the ticket back; then it says
// "paused" and waits to be killed. At SIGTERM its main thread ends alone: then it is in the state of a killed
// process that takes long to close its files.
#include "drivers/all_drivers.h"
#include "fs/guardian/guardian.h"
#include "util/worker.h"

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

namespace vmemfs {
namespace {

Result<RunStatus> pause(Driver& driver, PauseGuard& guard, bool disarm) {
  RunControl& control = *driver.run_control();
  auto done = guard.arm(1, driver.identity().driver, control.resume_ticket()).and_then([&] {
    return control.pause();
  });
  if (disarm) {
    guard.disarm(1);
  }
  return done;
}

int run(const std::string& program, std::string_view vm, bool disarm) {
  std::signal(SIGTERM, [](int) {});
  FdWatcher watcher;
  Worker worker;
  Guardian guard{watcher, program};
  const DriverContext context{watcher, worker};
  const auto driver =
      parse_vm_spec(vm).and_then([&](const VmSpec& spec) { return open_driver(spec, context); });
  const auto done =
      driver.and_then([&](const std::unique_ptr<Driver>& open) { return pause(*open, guard, disarm); });
  std::puts(done ? "paused" : done.error().message().c_str());
  std::fflush(stdout);
  ::pause();
  return static_cast<int>(::syscall(SYS_exit, 0)); // not exit_group
}

} // namespace
} // namespace vmemfs

int main(int argc, char** argv) {
  return argc < 3 ? 2 : vmemfs::run(argv[1], argv[2], argc > 3 && std::string_view{argv[3]} == "disarm");
}
