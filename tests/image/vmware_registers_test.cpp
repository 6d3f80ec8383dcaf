// SPDX-License-Identifier: MIT
// Registers in VMware state files.
#include "arch/x86_64/paging.h"
#include "arch/x86_64/registers.h"
#include "vmware_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using x86_64::Register;

std::string with_cpu(const std::string& tags, std::uint32_t magic = kVmwareMagic) {
  const bool old = magic == kVmwareOldMagic;
  return vmware_state({{"memory", vmware_block("Memory", {0, 0}, "x", {.old = old})}, {"cpu", tags}}, magic);
}

std::string count(std::uint64_t vcpus) { return vmware_value("cpu:numVCPUs", {}, vcpus); }

std::vector<RegisterSet> registers_of(const std::string& tags, std::uint32_t magic = kVmwareMagic) {
  auto image = open_bytes(with_cpu(tags, magic));
  EXPECT_TRUE(image) << image.error().text;
  return image ? image->registers : std::vector<RegisterSet>{};
}

/// cr0 to cr8 as a block.
std::string control(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4) {
  return number(cr0, 8) + number(0x11, 8) + number(0x22, 8) + number(cr3, 8) + number(cr4, 8) +
         number(0x55, 8) + number(0x66, 8) + number(0x77, 8) + number(8, 8);
}

constexpr Register kGeneral[] = {Register::rax, Register::rcx, Register::rdx, Register::rbx,
                                 Register::rbp, Register::rsp, Register::rsi, Register::rdi,
                                 Register::r8,  Register::r9,  Register::r10, Register::r11,
                                 Register::r12, Register::r13, Register::r14, Register::r15};

TEST(VmwareRegisters, Blocks_OfSeveralVcpus) {
  for (const std::uint32_t magic : {kVmwareMagic, kVmwareOldMagic}) {
    const BlockForm form{.padding = 5, .old = magic == kVmwareOldMagic};
    std::string tags = count(3);
    for (const std::uint32_t vcpu : {2U, 0U, 1U}) {
      tags += vmware_block("gpregs", {vcpu}, vmware_general(0x100 * (vcpu + 1)), form);
      tags += vmware_block("CR64", {vcpu}, control(0x80050033, 0x1000 * (vcpu + 1), 0x6f0), form);
      tags += vmware_block("IDTR", {vcpu}, number(0xfff, 2) + number(0xfffffe0000000000, 8), form);
      tags += vmware_value("rip", {vcpu}, 0xffffffff81000000 + vcpu, 8);
    }
    const auto sets = registers_of(tags, magic);
    ASSERT_EQ(sets.size(), 3U);
    for (std::uint32_t vcpu = 0; vcpu < 3; ++vcpu) {
      const RegisterSet& set = sets[vcpu];
      for (std::size_t i = 0; i < std::size(kGeneral); ++i) {
        EXPECT_EQ(set.get(kGeneral[i]), 0x100 * (vcpu + 1) + i);
      }
      EXPECT_EQ(set.get(Register::rip), 0xffffffff81000000 + vcpu);
      EXPECT_EQ(set.get(Register::cr0), 0x80050033U);
      EXPECT_EQ(set.get(Register::cr2), 0x22U);
      EXPECT_EQ(set.get(Register::cr3), 0x1000 * (vcpu + 1));
      EXPECT_EQ(set.get(Register::cr4), 0x6f0U);
      EXPECT_EQ(set.get(Register::cr8), 8U);
      EXPECT_EQ(set.get(Register::idt_limit), 0xfffU);
      EXPECT_EQ(set.get(Register::idt_base), 0xfffffe0000000000);
      EXPECT_EQ(set.get(Register::efer), std::nullopt) << "its tag is not known";
      const auto paging = x86_64::paging_of(set);
      ASSERT_TRUE(paging) << "page tables can be walked";
      EXPECT_EQ(paging->mode, x86_64::PagingMode::level4);
      EXPECT_EQ(paging->root, Gpa{0x1000 * (vcpu + 1)});
    }
  }
}

TEST(VmwareRegisters, SingleTags_AreTakenToo) {
  std::string tags;
  const char* const names[] = {"rax", "rcx", "rdx", "rbx", "rbp", "rsp", "rsi", "rdi",
                               "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    tags += vmware_value(names[i], {1}, 0xf000000000000000 + i, 8);
  }
  for (std::uint32_t i = 0; i < 12; ++i) {
    tags += vmware_value("CR64", {1, i}, 0x100000000 + i, 8);
  }
  tags += vmware_value("IDTR", {1, 0}, 0xfff) + vmware_value("IDTR", {1, 2}, 0xfffffe00) +
          vmware_value("IDTR", {1, 1}, 0x1000) + vmware_value("eflags", {1}, 0x46) +
          vmware_value("EFLAGS", {1}, 0x200);
  for (std::uint32_t i = 0; i < 9; ++i) {
    tags += vmware_value("S", {1, i}, 0x10 + i) + vmware_value("S.base64", {1, i}, 0x7f0000000000 + i, 8);
  }
  const auto sets = registers_of(tags + count(2));
  ASSERT_EQ(sets.size(), 2U);
  EXPECT_TRUE(sets[0].empty());
  const RegisterSet& set = sets[1];
  for (std::size_t i = 0; i < std::size(kGeneral); ++i) {
    EXPECT_EQ(set.get(kGeneral[i]), 0xf000000000000000 + i);
  }
  EXPECT_EQ(set.get(Register::cr0), 0x100000000);
  EXPECT_EQ(set.get(Register::cr3), 0x100000003);
  EXPECT_EQ(set.get(Register::cr8), 0x100000008);
  EXPECT_EQ(set.get(Register::idt_base), 0xfffffe0000001000);
  EXPECT_EQ(set.get(Register::rflags), 0x246U);
  EXPECT_EQ(set.get(Register::es_selector), 0x10U);
  EXPECT_EQ(set.get(Register::cs_selector), 0x11U);
  EXPECT_EQ(set.get(Register::gs_selector), 0x15U);
  EXPECT_EQ(set.get(Register::ldt_selector), 0x16U);
  EXPECT_EQ(set.get(Register::gs_base), 0x7f0000000005);
  EXPECT_EQ(set.get(Register::tr_base), 0x7f0000000007);
}

TEST(VmwareRegisters, ControlRegistersOf32Bits_GiveWayToThoseOf64) {
  const auto old = registers_of(vmware_value("CR", {0, 3}, 0x1000));
  ASSERT_EQ(old.size(), 1U);
  EXPECT_EQ(old[0].get(Register::cr3), 0x1000U);
  for (const std::string& tags : {vmware_value("CR", {0, 3}, 1) + vmware_value("CR64", {0, 3}, 2, 8),
                                  vmware_value("CR64", {0, 3}, 2, 8) + vmware_value("CR", {0, 3}, 1)}) {
    EXPECT_EQ(registers_of(tags).at(0).get(Register::cr3), 2U);
  }
}

TEST(VmwareRegisters, NoneInTheFile_ThereAreNone) {
  EXPECT_TRUE(registers_of("").empty());
  EXPECT_TRUE(registers_of(count(8)).empty());
  EXPECT_TRUE(registers_of(count(8) + vmware_value("somethingElse", {0}, 1)).empty());
}

TEST(VmwareRegisters, HostileTags_AreBoundedOrIgnored) {
  const std::string rip = vmware_value("rip", {0}, 0x1234, 8);
  EXPECT_EQ(registers_of(count(0xffffffff) + rip).size(), 4096U);
  EXPECT_EQ(registers_of(vmware_value("cpu:numVCPUs", {}, ~0ULL, 8) + rip).size(), 4096U);
  EXPECT_TRUE(registers_of(count(0) + rip).empty());
  EXPECT_EQ(registers_of(count(1) + count(7) + rip).size(), 1U);
  EXPECT_EQ(registers_of(rip + vmware_value("rip", {4095}, 1, 8)).size(), 4096U);
  const std::string ignored = vmware_value("rax", {4096}, 1, 8) + vmware_value("rax", {0xffffffff}, 1, 8) +
                              vmware_value("rax", {}, 1, 8) + vmware_value("CR64", {0}, 1, 8) +
                              vmware_value("CR64", {0, 0xffffffff}, 1, 8) +
                              vmware_value("CR64", {0, 1}, 1, 8) + vmware_value("S", {0, 8}, 1) +
                              vmware_value("S.base64", {0}, 1, 8) + vmware_value("IDTR", {0, 3}, 1) +
                              vmware_block("gpregs", {0}, vmware_general(1).substr(1)) +
                              vmware_block("gpregs", {0}, vmware_general(1), {.packed = true}) +
                              vmware_block("CR64", {0}, "") + vmware_block("IDTR", {0}, std::string(11, 'x'));
  const auto sets = registers_of(ignored + rip);
  ASSERT_EQ(sets.size(), 1U);
  RegisterSet only_rip{x86_64::register_layout()};
  only_rip.set(Register::rip, 0x1234);
  EXPECT_EQ(sets[0], only_rip);
}

TEST(VmwareRegisters, GroupIsCut_RegistersBeforeStay) {
  const std::string bytes = with_cpu(vmware_value("rip", {0}, 0x1234, 8) + vmware_value("rax", {0}, 1, 8));
  const auto image = open_bytes(std::string_view{bytes}.substr(0, bytes.size() - 4));
  ASSERT_TRUE(image) << image.error().text;
  ASSERT_EQ(image->registers.size(), 1U);
  EXPECT_EQ(image->registers[0].get(Register::rip), 0x1234U);
  EXPECT_THAT(image->problem, HasSubstr("its group 'cpu' is cut off"));
}

} // namespace
} // namespace vmemfs::test
