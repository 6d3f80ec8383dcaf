// SPDX-License-Identifier: MIT
// A process names another user's monitor on its command line, to have its registers, pause and memory.
#include "attack/attacker_program.h"
#include "support/free_port.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

/// A victim that listens in every way, with nobody at these monitors.
class MonitorAttack : public AttackTest {
protected:
  static GuestOptions with_monitors(const std::string& name, unsigned port) {
    GuestOptions options;
    options.user = kVictim;
    options.extra = {"-qmp", fmt::format("unix:{},server=on,wait=off,abstract=on", name), "-qmp",
                     fmt::format("tcp:127.0.0.1:{},server=on,wait=off", port)};
    return options;
  }

  /// Why the attacker's process is not attached, in a mount that has the network.
  static std::string refusal(const ChildProcess& attacker) {
    try {
      const Mount mount{{"--vm", fmt::format("web01=qemu:pid={},tcp=on", attacker.pid())}};
      return "it was attached: " + read_file(mount / "web01/info");
    } catch (const std::exception& refused) {
      return refused.what();
    }
  }

  const unsigned port_ = free_port();
  const std::string name_ = fmt::format("vmemfs-attack-{}", port_);
};

TEST_F(MonitorAttack, NameOfAnotherUsersMonitor_IsNotConnectedTo) {
  QemuGuest victim{with_monitors(name_, port_)};
  AttackerProgram pretender{"pretend"};
  const std::vector<std::pair<std::string, std::string>> cases{
      {fmt::format("unix:{},server=on,wait=off", victim.driver_socket()),
       "does not listen on the monitor socket " + victim.driver_socket()},
      {fmt::format("unix:{},server=on,wait=off,abstract=on", name_),
       fmt::format("does not listen on the abstract socket '{}'", name_)},
      {fmt::format("tcp:127.0.0.1:{},server=on,wait=off", port_),
       fmt::format("does not listen on the TCP port 127.0.0.1:{}", port_)},
      {fmt::format("tcp::{},server=on,wait=off", port_),
       fmt::format("does not listen on the TCP port :{}", port_)}};
  std::vector<std::pair<const ChildProcess*, std::string>> attackers;
  for (const auto& [qmp, reason] : cases) {
    attackers.emplace_back(&pretender.start({"-name", "web01", "-m", "64", "-qmp", qmp}), reason);
  }
  for (const auto& [attacker, reason] : attackers) {
    std::string why; // for five seconds it could still be starting
    EXPECT_TRUE(eventually([&] { return (why = refusal(*attacker)).find(reason) != std::string::npos; }))
        << reason << "\n"
        << why;
  }
  EXPECT_TRUE(victim.running());
}

/// The attacker listens at the name, and leads whoever connects to it to the victim.
TEST_F(MonitorAttack, PathThatLeadsToAnotherUsersMonitor_IsNotUsed) {
  QemuGuest victim{with_monitors(name_, port_)};
  AttackerProgram impostor{"impostor"};
  const auto& attacker = impostor.start({"make", "swap", impostor.dir() / "qmp", victim.driver_socket()});
  EXPECT_THAT(refusal(attacker), HasSubstr("does not belong to process"));
  EXPECT_TRUE(victim.running());
}

/// In a network namespace of its own the attacker can listen at the victim's name and port.
TEST_F(MonitorAttack, NamesInAnotherNetwork_DoNotLeadToTheVictim) {
  QemuGuest victim{with_monitors(name_, port_)};
  AttackerProgram impostor{"impostor"};
  for (const auto& [kind, place] : {std::pair<std::string, std::string>{"abstract", name_},
                                    std::pair<std::string, std::string>{"tcp", std::to_string(port_)}}) {
    const auto& attacker = impostor.start({"make", kind, place}, {"unshare", "-n"});
    EXPECT_THAT(refusal(attacker), HasSubstr("in another network namespace"));
  }
  EXPECT_TRUE(victim.running());
}

} // namespace
} // namespace vmemfs::test
