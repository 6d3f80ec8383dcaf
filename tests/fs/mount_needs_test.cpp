// SPDX-License-Identifier: MIT
#include "drivers/all_drivers.h"
#include "fs/daemon/mount_needs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

namespace vmemfs {
namespace {

bool has(const Needs& needs, int capability) {
  return std::ranges::find(needs.capabilities, capability, &Needs::Capability::number) !=
         needs.capabilities.end();
}

MountOptions without_discovery() {
  MountOptions options;
  options.discover = false;
  return options;
}

TEST(MountNeeds, MountOfNothing_CanStillAttachAnyVmOfThisHost) {
  const Needs needs = mount_needs(without_discovery());
  EXPECT_FALSE(needs.network);
  for (const int capability : {CAP_SYS_PTRACE, CAP_DAC_OVERRIDE, CAP_CHECKPOINT_RESTORE}) {
    EXPECT_TRUE(has(needs, capability)) << capability;
  }
}

TEST(MountNeeds, Network_ComesFromVmDiscoveryAndConfiguration) {
  if (find_driver(all_drivers(), "libvirt") == nullptr) {
    GTEST_SKIP() << "the driver was not compiled in";
  }
  const VmSpec vm{.name = "", .driver = "libvirt", .params = "uri=qemu+ssh://alpha/system,domain=web01"};
  MountOptions by_vm = without_discovery();
  by_vm.vms.push_back(vm);
  EXPECT_TRUE(mount_needs(by_vm).network);
  MountOptions by_configuration = without_discovery();
  by_configuration.wanted.push_back(vm);
  EXPECT_TRUE(mount_needs(by_configuration).network);
  MountOptions by_discovery = without_discovery();
  by_discovery.discoveries.push_back({.driver = "libvirt", .params = "uri=qemu+ssh://alpha/system"});
  EXPECT_TRUE(mount_needs(by_discovery).network);
}

TEST(MountNeeds, NetworkForAMonitorOnTcp_IsKeptOnRequest) {
  const VmSpec vm{.name = "", .driver = "qemu", .params = "pid=1,tcp=on"};
  MountOptions by_vm = without_discovery();
  by_vm.vms.push_back(vm);
  EXPECT_TRUE(mount_needs(by_vm).network);
  by_vm.vms.front().params = "pid=1";
  EXPECT_FALSE(mount_needs(by_vm).network);
  MountOptions by_discovery = without_discovery();
  by_discovery.discoveries.push_back({.driver = "qemu", .params = "tcp=on"});
  EXPECT_TRUE(mount_needs(by_discovery).network);
  by_discovery.discoveries.front().params = "";
  EXPECT_FALSE(mount_needs(by_discovery).network);
}

} // namespace
} // namespace vmemfs
