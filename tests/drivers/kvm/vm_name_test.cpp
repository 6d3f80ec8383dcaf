// SPDX-License-Identifier: MIT
#include "drivers/kvm/identity/vm_name.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs::kvm {
namespace {

std::string name(std::string_view executable, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), std::string{executable});
  return name_from_command_line({executable, executable.substr(executable.rfind('/') + 1)}, arguments);
}

TEST(VmName, OfFirecracker_IsItsId) {
  EXPECT_EQ(name("/usr/bin/firecracker", {"--api-sock", "/run/fc.socket", "--id", "web01"}), "web01");
  EXPECT_EQ(name("/srv/jailer/firecracker/web01/root/firecracker (deleted)", {"--id=web01"}), "web01");
  EXPECT_EQ(name("/firecracker-v1.16.1-x86_64", {"--id", "web01", "--start-time-us", "1"}), "web01");
  EXPECT_EQ(name("/usr/bin/firecracker", {"--id", "anonymous-instance"}), "");
  EXPECT_EQ(name("/usr/bin/firecracker", {"--id"}), "");
}

TEST(VmName, OfCloudHypervisor_IsThatOfItsSocket) {
  constexpr std::string_view kProgram = "/usr/bin/cloud-hypervisor";
  EXPECT_EQ(name(kProgram, {"--api-socket", "/run/ch/web01.sock"}), "web01");
  EXPECT_EQ(name(kProgram, {"--api-socket", "path=/run/ch/web01.sock"}), "web01");
  EXPECT_EQ(name(kProgram, {"--api-socket=/run/vc/vm/0123abcd/clh-api.sock"}), "0123abcd");
  EXPECT_EQ(name(kProgram, {"--api-socket", "/tmp/cloud-hypervisor.sock"}), "");
  EXPECT_EQ(name(kProgram, {"--api-socket", "fd=3"}), "");
  EXPECT_EQ(name(kProgram, {"--memory", "size=1G"}), "");
}

TEST(VmName, OfCrosvm_IsItsNameOrSocket) {
  EXPECT_EQ(name("/usr/bin/crosvm", {"run", "--name", "web01", "-s", "/run/x.sock"}), "web01");
  EXPECT_EQ(name("/usr/bin/crosvm", {"run", "-s", "/run/web01.sock"}), "web01");
  EXPECT_EQ(name("/usr/bin/crosvm", {"run", "--socket", "/run/crosvm.sock"}), "");
}

TEST(VmName, OfQemu_IsTheGuests) {
  EXPECT_EQ(name("/usr/bin/qemu-system-x86_64", {"-name", "web01"}), "web01");
  EXPECT_EQ(name("/usr/bin/qemu-system-x86_64", {"-name", "guest=web01,debug-threads=on"}), "web01");
  EXPECT_EQ(name("/usr/libexec/qemu-kvm", {"-name", "web01,process=x"}), "web01");
  EXPECT_EQ(name("/usr/bin/qemu-system-x86_64", {"-name", "process=x"}), "");
}

TEST(VmName, OfOtherPrograms_IsTheirNameOrId) {
  EXPECT_EQ(name("/usr/bin/lkvm", {"run", "--name", "web01"}), "web01");
  EXPECT_EQ(name("/usr/bin/my-vmm", {"--id=web01"}), "web01");
  EXPECT_EQ(name("/usr/bin/my-vmm", {"--", "--name", "web01"}), "");
  EXPECT_EQ(name("", {}), "");
  EXPECT_EQ(name_from_command_line({"", ""}, {}), "");
}

} // namespace
} // namespace vmemfs::kvm
