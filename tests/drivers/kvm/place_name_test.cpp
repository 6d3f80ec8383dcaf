// SPDX-License-Identifier: MIT
#include "drivers/kvm/identity/place_name.h"

#include <gtest/gtest.h>
#include <string>

namespace vmemfs::kvm {
namespace {

constexpr std::string_view kId = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

std::string of_cgroup(const std::string& path, std::string_view executable = "/usr/bin/vmm") {
  const std::string text = "0::" + path + "\n";
  return name_from_place({.executable = executable, .root = "/", .short_name = "vmm", .cgroups = text});
}

TEST(PlaceName, OfAJail_IsItsDirectory) {
  EXPECT_EQ(name_from_place({.executable = "/firecracker", .root = "/srv/jailer/firecracker/web01/root"}),
            "web01");
  EXPECT_EQ(name_from_place({.executable = "/firecracker", .root = "/run/vc/firecracker/0123abcd/root"}),
            "0123abcd");
  EXPECT_EQ(name_from_place(
                {.executable = "/srv/jailer/firecracker/web01/root/firecracker (deleted)", .root = "/"}),
            "web01");
  EXPECT_EQ(name_from_place({.executable = "/home/root/firecracker", .root = "/"}), "");
  EXPECT_EQ(name_from_place({.executable = "/root/vmm", .root = "/root"}), "");
  EXPECT_EQ(name_from_place({}), "");
}

TEST(PlaceName, OfLibkrun_IsItsShortName) {
  EXPECT_EQ(name_from_place({.short_name = "VM:0123456789ab"}), "0123456789ab");
  EXPECT_EQ(name_from_place({.short_name = "VM:"}), "");
}

TEST(PlaceName, OfAContainer_IsTheStartOfItsId) {
  const std::string id{kId};
  EXPECT_EQ(of_cgroup("/machine.slice/libpod-" + id + ".scope/container"), "0123456789ab");
  EXPECT_EQ(of_cgroup("/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-" + id + ".scope"),
            "0123456789ab");
  EXPECT_EQ(of_cgroup("/docker/" + id), "0123456789ab");
  EXPECT_EQ(of_cgroup("/kubepods/besteffort/pod1/kata_0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(of_cgroup("/docker/" + id.substr(1)), "");
}

TEST(PlaceName, OfAUnit_IsItsInstance) {
  EXPECT_EQ(of_cgroup("/system.slice/system-microvm.slice/microvm@web01.service"), "web01");
  EXPECT_EQ(of_cgroup("/system.slice/firecracker@web\\x2d01.service"), "web-01");
  EXPECT_EQ(of_cgroup("/machine.slice/machine-qemu\\x2d12\\x2dweb\\x2d01.scope/libvirt"), "web-01");
  EXPECT_EQ(of_cgroup("/user.slice/user-1000.slice/user@1000.service/app.slice/vmm.scope"), "");
  EXPECT_EQ(of_cgroup("/user.slice/user-0.slice/session-3.scope"), "");
  EXPECT_EQ(of_cgroup("/system.slice/ssh.service"), "");
}

TEST(PlaceName, OfTheJailersCgroup_IsItsLastPart) {
  EXPECT_EQ(of_cgroup("/firecracker/web01", "/firecracker"), "web01");
  EXPECT_EQ(of_cgroup("/firecracker/web01", "/usr/bin/vmm"), "");
}

TEST(PlaceName, OfOtherHierarchies_IsUsedToo) {
  EXPECT_EQ(
      name_from_place(
          {.executable = "/x", .root = "/", .cgroups = "12:cpu:/system.slice/vm@web01.service\n0::/\n"}),
      "web01");
  EXPECT_EQ(name_from_place({.cgroups = "no colon\n::\n\\x\n0::/@.service\n0::/machine-qemu\\x2d.scope\n"}),
            "");
}

} // namespace
} // namespace vmemfs::kvm
