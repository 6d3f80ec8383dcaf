// SPDX-License-Identifier: MIT
// A process names another user's monitor on its command line, to have its registers, pause and memory.
#include "attack/attack.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"

#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>

namespace vmemfs::test {
namespace {

class MonitorAttack : public AttackTest {};

TEST_F(MonitorAttack, MonitorOfAnotherUsersVm_IsNotUsed) {
  GuestOptions options;
  options.user = kVictim;
  QemuGuest victim{options};
  const TempDir dir;
  const std::string program = dir / "qemu-system-x86_64";
  std::filesystem::copy_file(hostile("pretend"), program);
  std::filesystem::permissions(program.substr(0, program.rfind('/')), std::filesystem::perms{0755});
  const ChildProcess attacker{
      joined(as_user(kAttacker), {program, "-name", "web01", "-m", "64", "-qmp",
                                  fmt::format("unix:{},server=on,wait=off", victim.driver_socket())}),
      dir / "log"};

  std::string why;
  EXPECT_TRUE(eventually([&] { // for five seconds it could still be starting
    try {
      const Mount mount{{"--vm", fmt::format("web01=qemu:pid={}", attacker.pid())}};
      why = "it was attached: " + read_file(mount / "web01/info");
    } catch (const std::exception& refused) {
      why = refused.what();
    }
    return why.find("does not listen on the monitor socket") != std::string::npos;
  })) << why;
  EXPECT_TRUE(victim.running());
}

} // namespace
} // namespace vmemfs::test
