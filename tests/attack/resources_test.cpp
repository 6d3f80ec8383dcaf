// SPDX-License-Identifier: MIT
// Memory and descriptors of the daemon that a VM could use up.
#include "attack/attacker_program.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <chrono>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <thread>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;

class ResourcesAttack : public AttackTest {
protected:
  /// A QEMU of the attacker; the result names it in a VM spec.
  std::string start_monitor(int files, int values) {
    const std::string socket = evil_.dir() / fmt::format("qmp{}", next_++);
    const auto& process = evil_.start({std::to_string(files), std::to_string(values), "-qmp",
                                       fmt::format("unix:{},server=on,wait=off", socket)});
    static_cast<void>(eventually([&] { return exists(socket); }));
    return fmt::format("qemu:pid={}", process.pid());
  }

  AttackerProgram evil_{"monitor"};
  int next_ = 0;
};

int attach(const Mount& mount, const std::string& spec) {
  return try_write(mount / ".vmemfs/control", "attach " + spec);
}

TEST_F(ResourcesAttack, VmsOfThousandsOfFiles_AnotherIsAttachedAndPaused) {
  const RunAs few_descriptors{{"prlimit", "--nofile=1024:1024"}, 0};
  const Mount mount{{"--vm", "harmless=fake:size=1M"}, Discover::off, few_descriptors};
  for (int i = 0; i < 4; ++i) {
    static_cast<void>(attach(mount, fmt::format("evil{}={}", i, start_monitor(600, 0))));
  }
  GuestOptions options;
  options.user = kVictim;
  QemuGuest honest{options};
  ASSERT_EQ(attach(mount, fmt::format("honest=qemu:pid={}", honest.pid())), 0)
      << read_file(mount / ".vmemfs/control");
  EXPECT_EQ(try_write(mount / "honest/control", "pause"), 0);
  EXPECT_FALSE(honest.running());
}

TEST_F(ResourcesAttack, AnswerOfMillionsOfValues_DaemonStaysSmall) {
  Mount mount{{"--vm", "harmless=fake:size=1M"}};
  const auto resident_kib = [&] {
    const std::string line =
        line_with(read_file(fmt::format("/proc/{}/status", mount.daemon().pid())), "VmRSS:");
    return std::stoi(line.substr(line.find_first_of("0123456789")));
  };
  const int before = resident_kib();
  for (int i = 0; i < 4; ++i) {
    // 16 MiB in all, and as many values as are allowed
    for (const int values : {5'500'000, 250'000}) {
      static_cast<void>(attach(mount, fmt::format("evil{}_{}={}", i, values, start_monitor(1, values))));
    }
  }
  const int after = resident_kib();
  RecordProperty("kib_before", before);
  RecordProperty("kib_after", after);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) // sanitizers keep freed memory
  EXPECT_LT(after - before, 64 << 10);
#endif
}

} // namespace
} // namespace vmemfs::test
