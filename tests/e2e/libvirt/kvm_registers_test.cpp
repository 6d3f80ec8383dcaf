// SPDX-License-Identifier: MIT
// Registers of a domain under KVM, whose QEMU nobody asks: libvirt keeps its monitor, and the user has not
// agreed to ask through libvirt. QEMU's own word for them comes from a second monitor, which only the test
// has.
#include "e2e/libvirt/domains.h"
#include "support/kvm/kvm_vmm.h"

#include <cerrno>
#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <system_error>
#include <utility>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class LibvirtKvm : public Libvirt {
protected:
  void SetUp() override {
    Libvirt::SetUp();
    if (const auto why = why_no_kvm(); why && !IsSkipped()) {
      GTEST_SKIP() << *why;
    }
  }

  static DomainOptions under_kvm() {
    DomainOptions options;
    options.type = "kvm";
    options.fill = "none";
    return options;
  }
};

/// The number that comes after `name` in a text of registers, ours or QEMU's.
std::uint64_t number_after(const std::string& text, const std::string& name) {
  const std::size_t at = text.find(name);
  return at == std::string::npos ? ~std::uint64_t{0}
                                 : std::stoull(text.substr(at + name.size()), nullptr, 16);
}

/// Of a read of the whole file: 0 or the errno.
int error_of(const std::string& path) {
  try {
    static_cast<void>(read_file(path));
    return 0;
  } catch (const std::system_error& error) {
    return error.code().value();
  }
}

TEST_F(LibvirtKvm, RegistersAreKvms_WithoutPassthrough) {
  LibvirtHost host;
  host.create(under_kvm());
  TestMonitor monitor = host.monitor("web01"); // so that vmemfs cannot have it
  const Mount mount{{"--vm", domain(host.uri(), "web01")}};
  EXPECT_THAT(info(mount, "web01")["access"]["registers"].get<std::string>(), HasSubstr("KVM"));
  // The vCPUs wait in `hlt`, so that these stay as they are; the second in the firmware, so in 32-bit mode.
  for (const int vcpu : {0, 1}) {
    const std::string all = monitor.human("info registers -a");
    const std::string qemus = all.substr(all.find("CPU#" + std::to_string(vcpu)));
    const std::string ours = read_file(mount / ("web01/vcpus/" + std::to_string(vcpu) + "/regs"));
    for (const auto& [our_name, qemus_name] :
         {std::pair{"rsp", "SP="}, {"rip", "IP="}, {"cr0", "CR0="}, {"cr3", "CR3="}, {"cr4", "CR4="}}) {
      EXPECT_EQ(number_after("\n" + ours, std::string{"\n"} + our_name + " "),
                number_after(qemus, qemus_name))
          << vcpu << our_name << "\n"
          << qemus << ours;
    }
  }
  EXPECT_THAT(host.virsh({"dominfo", "web01"}), Not(HasSubstr("custom monitor")));
}

// QEMU has taken them out of KVM by then.
TEST_F(LibvirtKvm, RegistersOfAPausedDomain_AreRefused_WithTheRemedy) {
  LibvirtHost host;
  DomainOptions options = under_kvm();
  options.monitor_for_test = false;
  host.create(options);
  const Mount mount{{"--vm", domain(host.uri(), "web01")}};
  host.virsh({"suspend", "web01"});
  ASSERT_TRUE(eventually([&] { return status(mount, "web01", "state") == "paused"; }));
  EXPECT_EQ(error_of(mount / "web01/vcpus/0/regs"), EBUSY);
  EXPECT_THAT(read_file(mount / "web01/info"), HasSubstr("passthrough=on"));
  host.virsh({"resume", "web01"});
  EXPECT_TRUE(eventually([&] { return error_of(mount / "web01/vcpus/0/regs") == 0; }));
}

} // namespace
} // namespace vmemfs::test
