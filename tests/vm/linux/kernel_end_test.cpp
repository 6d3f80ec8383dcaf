// SPDX-License-Identifier: MIT
// A kernel that has started another one by kexec, both still complete in memory that is written here.
#include "arch/x86_64/registers.h"
#include "made_kernel.h"
#include "vm/linux/kernel_finder.h"
#include "vm/vm_fixture.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>

namespace vmemfs::test {
namespace {

using x86_64::Register;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kHalted = MadeKernel::kStopFunction + 0x20;
constexpr std::uint64_t kElsewhere = MadeKernel::kStopFunction + MadeKernel::kStopBytes;

/// Tests do not depend on how fast they run.
constexpr KernelSearchLimits kNoLimits{.search = std::chrono::hours{1}, .examination = std::chrono::hours{1}};

/// Two vCPUs; the second one is in the former kernel, with interrupts off.
class KernelEnd : public testing::Test {
protected:
  KernelEnd() {
    set(0, later.root(), kElsewhere);
    set(1, former.root(), kHalted);
  }
  void set(std::size_t vcpu, std::uint64_t root, std::uint64_t rip) {
    vcpus.at(vcpu).set(Register::cr0, 0x80050033);
    vcpus.at(vcpu).set(Register::cr3, root);
    vcpus.at(vcpu).set(Register::cr4, 0x3506f0);
    vcpus.at(vcpu).set(Register::efer, 0xd01);
    vcpus.at(vcpu).set(Register::cs_selector, 0x10);
    vcpus.at(vcpu).set(Register::rflags, 0x46);
    vcpus.at(vcpu).set(Register::rip, rip);
  }
  /// The page of the VMCOREINFO of the kernel that is found.
  std::optional<Gpa> found() {
    const auto kernel = finder.find(vcpus);
    return kernel ? std::optional{kernel->page} : std::nullopt;
  }
  /// As long as the later kernel boots, its VMCOREINFO is not there.
  void later_has_no_vmcoreinfo() { later.write(later.page(), 0); }

  VmFixture fixture;
  MadeKernel former{*fixture.fake, 16 * kMiB};
  MadeKernel later{*fixture.fake, 32 * kMiB};
  LinuxKernelFinder finder{fixture.vm->guest().memory(), kNoLimits};
  std::array<RegisterSet, 2> vcpus{RegisterSet{x86_64::register_layout()},
                                   RegisterSet{x86_64::register_layout()}};
};

TEST_F(KernelEnd, VcpuIsStoppedInTheFormerKernel_TheLaterOneIsFound) {
  EXPECT_EQ(found(), Gpa{later.page()}) << "the former one comes first in memory";
}

TEST_F(KernelEnd, FormerKernelWasFoundBefore_TheLaterOneIsFound) {
  set(0, former.root(), kElsewhere);
  ASSERT_EQ(found(), Gpa{former.page()});
  set(0, later.root(), kElsewhere);
  EXPECT_EQ(found(), Gpa{later.page()});
}

TEST_F(KernelEnd, LaterKernelBoots_NoneIsFound) {
  later_has_no_vmcoreinfo();
  EXPECT_EQ(found(), std::nullopt);
}

TEST_F(KernelEnd, SymbolsOfTheFormerKernelAreGone_NoneIsFound) {
  later_has_no_vmcoreinfo();
  for (std::uint64_t gpa = former.image(); gpa < former.image() + kMiB; gpa += 8) {
    former.write(gpa, 0);
  }
  EXPECT_EQ(found(), std::nullopt);
}

TEST_F(KernelEnd, AllVcpusAreStopped_ItIsFound) {
  set(0, former.root(), kHalted);
  EXPECT_EQ(found(), Gpa{former.page()}) << "after a halt";
}

TEST_F(KernelEnd, OtherVcpuHasNeverStarted_ItIsFound) {
  vcpus.at(0).set(Register::cr0, 0x60000010);
  EXPECT_EQ(found(), Gpa{former.page()});
}

TEST_F(KernelEnd, OtherVcpuIsInFirmware_ARunningOneCounts) {
  later_has_no_vmcoreinfo();
  vcpus.at(1).set(Register::rip, kElsewhere);
  EXPECT_EQ(found(), Gpa{former.page()}) << "interrupts are off for a moment";
  vcpus.at(1).set(Register::rip, MadeKernel::kStopFunction - 1);
  EXPECT_EQ(found(), Gpa{former.page()});
  vcpus.at(1).set(Register::rip, kHalted);
  vcpus.at(1).set(Register::rflags, 0x246);
  EXPECT_EQ(found(), Gpa{former.page()}) << "with interrupts on it is not stopped for good";
  vcpus.at(1).set(Register::rflags, 0x46);
  vcpus.at(1).set(Register::cs_selector, 0x33);
  EXPECT_EQ(found(), Gpa{former.page()}) << "a program with the same address";
}

} // namespace
} // namespace vmemfs::test
