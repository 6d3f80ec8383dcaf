// SPDX-License-Identifier: MIT
// Names of VMs that strangers borrow, and many of them.
#include "attack/attacker_program.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <chrono>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <thread>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class NamesAttack : public AttackTest {};

TEST_F(NamesAttack, NameOfOwnVm_StrangersWithItAreNotMeant) {
  GuestOptions options;
  options.name = "web01";
  const QemuGuest own{options};
  AttackerProgram pretender{"pretend"};
  pretender.start({"-name", "web01"});
  const Mount mount{{"--vm", "web01=qemu:name=web01"}};
  EXPECT_TRUE(exists(mount / "web01/mem"));
  EXPECT_THAT(read_file(mount / "web01/info"), HasSubstr(std::to_string(own.pid())));
}

TEST_F(NamesAttack, NameOfTwoStrangers_ErrorSaysWhoseTheyAre) {
  AttackerProgram one{"pretend"};
  AttackerProgram other{"pretend", kVictim};
  one.start({"-name", "web01"});
  other.start({"-name", "web01"});
  std::string why;
  try {
    const Mount mount{{"--vm", "web01=qemu:name=web01"}};
  } catch (const std::exception& refused) {
    why = refused.what();
  }
  EXPECT_THAT(why, HasSubstr(fmt::format("uid {}", kAttacker)));
  EXPECT_THAT(why, HasSubstr(fmt::format("uid {}", kVictim)));
}

TEST_F(NamesAttack, ManyVmsThatCannotBeAttached_LogStaysShort) {
  constexpr int kVms = 60;
  AttackerProgram pretender{"pretend"};
  for (int i = 0; i < kVms; ++i) {
    pretender.start({"-name", fmt::format("web{:02}", i)});
  }
  const Mount mount{{}, Discover::on};
  const auto count = [&](const std::string& text) {
    const std::string log = mount.log();
    int lines = 0;
    for (std::size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) {
      ++lines;
    }
    return lines;
  };
  EXPECT_TRUE(eventually([&] { return count("cannot attach") > 0; }));
  EXPECT_TRUE(eventually([&] { return count("not reported one by one") > 0; })) << mount.log();
  EXPECT_LT(count("cannot attach"), kVms / 2);
}

} // namespace
} // namespace vmemfs::test
