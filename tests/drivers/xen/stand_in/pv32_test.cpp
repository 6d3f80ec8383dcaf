// SPDX-License-Identifier: MIT
// Registers of a 32-bit PV domain, which the lab's Xen cannot run: the driver's source with stand-ins for the
// library's calls.
#include "arch/x86_64/registers.h"
#include "drivers/xen/registers/pv_registers.h"

#include <cerrno>
#include <gtest/gtest.h>

namespace {
vcpu_guest_context_any_t g_context;
} // namespace

extern "C" int xc_domain_get_guest_width(xc_interface* /*xch*/, uint32_t domid, unsigned* guest_width) {
  *guest_width = domid == 32 ? 4 : 8;
  return 0;
}

extern "C" int xc_vcpu_getcontext(xc_interface* /*xch*/, uint32_t /*domid*/, uint32_t vcpu,
                                  vcpu_guest_context_any_t* ctxt) {
  if (vcpu != 0) {
    errno = ENODATA;
    return -1;
  }
  *ctxt = g_context;
  return 0;
}

extern "C" int xc_vcpu_setcontext(xc_interface* /*xch*/, uint32_t /*domid*/, uint32_t /*vcpu*/,
                                  vcpu_guest_context_any_t* ctxt) {
  g_context = *ctxt;
  return 0;
}

namespace vmemfs::xen {
namespace {

using x86_64::Register;

class Pv32 : public testing::Test {
protected:
  void SetUp() override {
    g_context = {};
    auto& user = g_context.x32.user_regs;
    user.eax = 0x11111111;
    user.ebx = 0x22222222;
    user.esp = 0xf5001000;
    user.eip = 0xc0100000;
    user.eflags = 0x202;
    user.cs = 0xe019;
    g_context.x32.ctrlreg[3] = 0x12345000;
  }
};

TEST_F(Pv32, IsToldByItsWidth) {
  EXPECT_EQ(pv_guest_bits(nullptr, 32), 32U);
  EXPECT_EQ(pv_guest_bits(nullptr, 64), 64U);
}

TEST_F(Pv32, HasItsOwnRegistersAndNoneOfTheLongOnes) {
  const auto registers = read_pv_registers(nullptr, 32, 32, VcpuId{0});
  ASSERT_TRUE(registers);
  EXPECT_EQ(registers->get(Register::rax), 0x11111111U);
  EXPECT_EQ(registers->get(Register::rbx), 0x22222222U);
  EXPECT_EQ(registers->get(Register::rsp), 0xf5001000U);
  EXPECT_EQ(registers->get(Register::rip), 0xc0100000U);
  EXPECT_EQ(registers->get(Register::rflags), 0x202U);
  EXPECT_EQ(registers->get(Register::cs_selector), 0xe019U);
  EXPECT_EQ(registers->get(Register::cr3), 0x12345000U);
  for (const Register reg : {Register::r8, Register::r15, Register::gs_base, Register::kernel_gs_base}) {
    EXPECT_EQ(registers->get(reg), std::nullopt);
  }
}

TEST_F(Pv32, TakesWhatFitsInto32Bits) {
  const RegisterValue fits{Register::rbx, 0x89abcdef};
  ASSERT_TRUE(write_pv_registers(nullptr, 32, 32, VcpuId{0}, {&fits, 1}));
  EXPECT_EQ(g_context.x32.user_regs.ebx, 0x89abcdefU);
  EXPECT_EQ(g_context.x32.user_regs.eax, 0x11111111U);

  const RegisterValue wide{Register::rbx, 0x1'0000'0000};
  EXPECT_EQ(write_pv_registers(nullptr, 32, 32, VcpuId{0}, {&wide, 1}).error().kind, ErrorKind::invalid);
  const RegisterValue absent{Register::r8, 1};
  const auto refused = write_pv_registers(nullptr, 32, 32, VcpuId{0}, {&absent, 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::unsupported);
  EXPECT_NE(refused.error().text.find("32-bit PV"), std::string::npos) << refused.error().text;
  EXPECT_EQ(g_context.x32.user_regs.ebx, 0x89abcdefU);
}

TEST_F(Pv32, SaysWhichVcpuIsOffline) {
  EXPECT_EQ(read_pv_registers(nullptr, 32, 32, VcpuId{1}).error().kind, ErrorKind::busy);
}

} // namespace
} // namespace vmemfs::xen
