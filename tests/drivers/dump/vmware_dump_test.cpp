// SPDX-License-Identifier: MIT
// Memory and registers of a real guest in VMware's files, which the test writes as VMware would, against what
// the guest's QEMU says of them.
#include "arch/x86_64/registers.h"
#include "drivers/dump/dump_driver.h"
#include "drivers/qemu_protocol/hmp_registers.h"
#include "guests/tiny/layout.h"
#include "image/vmware_state.h"
#include "page_tables.h"
#include "support/qemu_guest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using x86_64::Register;

constexpr std::uint64_t kMemory = std::uint64_t{64} << 20;
constexpr std::uint64_t kSplit = std::uint64_t{40} << 20; ///< the memory behind it begins at 4 GiB
constexpr std::uint64_t kFourGiB = std::uint64_t{4} << 30;
/// As Linux has it; without EFER, the tiny guest's own would not show that it is in long mode.
constexpr std::uint64_t kIdt = 0xfffffe0000000000;

std::string vcpu_tags(std::uint32_t vcpu, const RegisterSet& set) {
  const auto value = [&](Register reg) { return set.get(reg).value_or(0); };
  std::string general;
  for (const Register reg :
       {Register::rax, Register::rcx, Register::rdx, Register::rbx, Register::rbp, Register::rsp,
        Register::rsi, Register::rdi, Register::r8, Register::r9, Register::r10, Register::r11, Register::r12,
        Register::r13, Register::r14, Register::r15}) {
    general += number(value(reg), 8);
  }
  const std::string none = number(0, 8);
  const std::string control = number(value(Register::cr0), 8) + none + number(value(Register::cr2), 8) +
                              number(value(Register::cr3), 8) + number(value(Register::cr4), 8) + none +
                              none + none + none;
  return vmware_block("gpregs", {vcpu}, general) + vmware_block("CR64", {vcpu}, control) +
         vmware_block("IDTR", {vcpu}, number(0xfff, 2) + number(kIdt, 8)) +
         vmware_value("rip", {vcpu}, value(Register::rip), 8) +
         vmware_value("eflags", {vcpu}, value(Register::rflags)) +
         vmware_value("S", {vcpu, 1}, value(Register::cs_selector)) +
         vmware_value("S.base64", {vcpu, 5}, value(Register::gs_base), 8);
}

class VmwareDump : public testing::Test {
protected:
  VmwareDump() {
    guest_.pause();
    guest_.pmemsave(0, kMemory, dir_ / "web.vmem");
    const auto truth = parse_info_registers(guest_.monitor().human("info registers -a"));
    EXPECT_TRUE(truth);
    truth_ = *truth;
    std::string cpu = vmware_value("cpu:numVCPUs", {}, truth_.size());
    for (std::uint32_t vcpu = 0; vcpu < truth_.size(); ++vcpu) {
      cpu += vcpu_tags(vcpu, truth_[vcpu]);
    }
    write_file(dir_ / "web.vmss", vmware_state({{"cpu", cpu},
                                                {"memory", vmware_regions({{0, 0, kSplit >> 12U},
                                                                           {kSplit >> 12U, kFourGiB >> 12U,
                                                                            (kMemory - kSplit) >> 12U}})}}));
  }

  static std::vector<std::byte> read(Driver& driver, std::uint64_t gpa, std::uint64_t size) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    ReadPiece piece{Gpa{gpa}, bytes, 0, {}};
    driver.read({&piece, 1});
    bytes.resize(piece.done);
    return bytes;
  }

  TempDir dir_;
  QemuGuest guest_{{.extra = {"-smp", "2"}}};
  std::vector<RegisterSet> truth_;
};

TEST_F(VmwareDump, EitherFile_HasMemoryAndRegistersOfAllVcpus) {
  const auto all = guest_.pmemsave(0, kMemory);
  const std::vector<std::byte> low{all.begin(), all.begin() + kSplit};
  const std::vector<std::byte> high{all.begin() + kSplit, all.end()};
  for (const std::string name : {"web.vmss", "web.vmem"}) {
    const auto driver = DumpDriver::open(dir_ / name);
    ASSERT_TRUE(driver) << driver.error().message();
    EXPECT_THAT((*driver)->access().map, HasSubstr("VMware state with a .vmem, 2 ranges"));
    EXPECT_THAT((*driver)->probe(), testing::IsEmpty());
    EXPECT_TRUE((*driver)->frozen());
    EXPECT_EQ((*driver)->memory_map()->blocks()[0], "web.vmem") << "`maps` has offsets in it";
    EXPECT_TRUE(read(**driver, 0, kSplit) == low) << name;
    EXPECT_TRUE(read(**driver, kFourGiB, kMemory - kSplit) == high) << name;
    EXPECT_TRUE(read(**driver, kSplit, 1).empty()) << "the hole";
    ASSERT_EQ((*driver)->vcpus().size(), truth_.size());
    for (std::uint32_t vcpu = 0; vcpu < truth_.size(); ++vcpu) {
      const auto saved = (*driver)->register_reader()->read_vcpu(VcpuId{vcpu});
      ASSERT_TRUE(saved);
      EXPECT_TRUE(saved->get(Register::rsp) && saved->get(Register::rip) && saved->get(Register::cr3));
      for (std::size_t i = 0; i < saved->layout().size(); ++i) {
        const RegisterIndex reg{i};
        const bool is_idt = saved->layout().name(reg).starts_with("idt");
        if (saved->get(reg) && truth_[vcpu].get(reg) && !is_idt) {
          EXPECT_EQ(saved->get(reg), truth_[vcpu].get(reg)) << vcpu << ' ' << saved->layout().name(reg);
        }
      }
    }
  }
}

TEST_F(VmwareDump, PageTables_AreWalked) {
  const auto driver = DumpDriver::open(dir_ / "web.vmss");
  ASSERT_TRUE(driver) << driver.error().message();
  expect_page_tables(**driver);
}

} // namespace
} // namespace vmemfs::test
