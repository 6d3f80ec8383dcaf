// SPDX-License-Identifier: MIT
#include "driver/needs.h"
#include "drivers/all_drivers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

namespace vmemfs {
namespace {

std::vector<int> numbers_of(const std::vector<Needs::Capability>& capabilities) {
  std::vector<int> numbers;
  for (const auto& capability : capabilities) {
    numbers.push_back(capability.number);
  }
  return numbers;
}

TEST(Needs, Add_UnitesWithoutDuplicates) {
  Needs all{.capabilities = {{CAP_SYS_PTRACE, "first"}}, .devices = {{"/dev/a", "first"}}};
  all.add({.network = true,
           .capabilities = {{CAP_SYS_PTRACE, "second"}, {CAP_BPF, "second"}},
           .system_calls = {{"bpf", "second"}},
           .devices = {{"/dev/a", "second"}, {"/dev/b", "second"}}});
  EXPECT_TRUE(all.network);
  EXPECT_THAT(numbers_of(all.capabilities), testing::ElementsAre(CAP_SYS_PTRACE, CAP_BPF));
  EXPECT_EQ(all.capabilities.front().why, "first");
  ASSERT_EQ(all.system_calls.size(), 1U);
  EXPECT_EQ(all.system_calls.front().name, "bpf");
  ASSERT_EQ(all.devices.size(), 2U);
  EXPECT_EQ(all.devices.back().path, "/dev/b");
}

TEST(Needs, CommandsOfACall_AreThoseOfBothOrAll) {
  Needs needs{.system_calls = {{"bpf", "one", {3, 28}}}};
  needs.add({.system_calls = {{"bpf", "other", {28, 33}}}});
  EXPECT_THAT(needs.system_calls.front().commands, testing::ElementsAre(3, 28, 33));
  needs.add({.system_calls = {{"bpf", "all"}}});
  EXPECT_THAT(needs.system_calls.front().commands, testing::IsEmpty());
  needs.add({.system_calls = {{"bpf", "one again", {3}}}});
  EXPECT_THAT(needs.system_calls.front().commands, testing::IsEmpty());
}

TEST(Needs, CapabilityForTheNetwork_IsOfUseOnlyWithIt) {
  Needs needs{.capabilities = {{CAP_SETPCAP, "ssh", true}, {CAP_SYS_PTRACE, "memory"}}};
  EXPECT_THAT(numbers_of(needs.useful_capabilities()), testing::ElementsAre(CAP_SYS_PTRACE));
  needs.network = true;
  EXPECT_THAT(numbers_of(needs.useful_capabilities()), testing::ElementsAre(CAP_SETPCAP, CAP_SYS_PTRACE));
  needs.network = false;
  needs.add({.capabilities = {{CAP_SETPCAP, "always"}}});
  EXPECT_THAT(numbers_of(needs.useful_capabilities()), testing::ElementsAre(CAP_SETPCAP, CAP_SYS_PTRACE));
}

TEST(Needs, OfVm_AreTheNamedDriversOwn) {
  EXPECT_THAT(needs_of_vm(all_drivers(), {.driver = "fake"}).capabilities, testing::IsEmpty());
  EXPECT_THAT(numbers_of(needs_of_vm(all_drivers(), {.driver = "dump", .params = "path=/a"}).capabilities),
              testing::ElementsAre(CAP_DAC_OVERRIDE));
  EXPECT_THAT(needs_of_vm(all_drivers(), {.driver = "dump", .params = "nonsense=1"}).capabilities,
              testing::IsEmpty());
}

TEST(Needs, OfVmWithoutDriver_AreThoseOfAllThatMayOpenIt) {
  EXPECT_THAT(numbers_of(needs_of_vm(all_drivers(), {.name = "web01"}).capabilities),
              testing::Contains(CAP_CHECKPOINT_RESTORE));
}

TEST(Needs, OfLibvirt_HaveTheNetworkForRemoteUris) {
  if (find_driver(all_drivers(), "libvirt") == nullptr) {
    GTEST_SKIP() << "the driver was not compiled in";
  }
  const auto network = [](const std::string& uri) {
    return needs_of_discovery(all_drivers(), {.driver = "libvirt", .params = "uri=" + uri}).network;
  };
  EXPECT_TRUE(network("qemu+ssh://alpha/system"));
  EXPECT_TRUE(network("an-alias"));
  EXPECT_FALSE(network("qemu:///system"));
  EXPECT_FALSE(needs_of_discovery(all_drivers(), {.driver = "qemu"}).network);
}

} // namespace
} // namespace vmemfs
