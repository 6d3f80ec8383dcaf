// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "drivers/qemu_protocol/hmp_registers.h"
#include "tests/drivers/qemu_protocol/samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs {
namespace {

using x86_64::Register;

std::vector<RegisterSet> parse_sample(const std::string& name) {
  auto sets = parse_info_registers(read_sample(name));
  EXPECT_TRUE(sets) << sets.error().message();
  return sets ? std::move(*sets) : std::vector<RegisterSet>{};
}

void expect(const RegisterSet& set, Register reg, std::uint64_t value) {
  EXPECT_EQ(set.get(reg), value) << to_string(reg);
}

void expect_absent(const RegisterSet& set, std::initializer_list<Register> registers) {
  for (const Register reg : registers) {
    EXPECT_FALSE(set.get(reg)) << to_string(reg);
  }
}

constexpr std::initializer_list<Register> kNeverPrinted{Register::cr8,          Register::star,
                                                        Register::lstar,        Register::cstar,
                                                        Register::sfmask,       Register::kernel_gs_base,
                                                        Register::sysenter_cs,  Register::sysenter_esp,
                                                        Register::sysenter_eip, Register::pat};

TEST(HmpRegisters, ResetStateIn16Bits) {
  const auto sets = parse_sample("registers_16bit.txt");
  ASSERT_EQ(sets.size(), 1U);
  const RegisterSet& set = sets[0];
  expect(set, Register::rip, 0xfff0);
  expect(set, Register::rflags, 2);
  expect(set, Register::rdx, 0x60fb1);
  expect(set, Register::cs_selector, 0xf000);
  expect(set, Register::cs_base, 0xffff0000);
  expect(set, Register::cs_limit, 0xffff);
  expect(set, Register::cs_attributes, 0x9b);
  expect(set, Register::tr_attributes, 0x8b);
  expect(set, Register::fs_base, 0);
  expect(set, Register::gdt_limit, 0xffff);
  expect(set, Register::cr0, 0x60000010);
  expect(set, Register::dr6, 0xffff0ff0);
  expect(set, Register::dr7, 0x400);
  expect(set, Register::efer, 0);
  expect_absent(set, {Register::r8, Register::r15});
  expect_absent(set, kNeverPrinted);
}

TEST(HmpRegisters, ProtectedModeIn32Bits) {
  const auto sets = parse_sample("registers_32bit.txt");
  ASSERT_EQ(sets.size(), 1U);
  expect(sets[0], Register::rsp, 0x7000);
  expect(sets[0], Register::cs_attributes, 0xc09a);
  expect(sets[0], Register::cs_limit, 0xffffffff);
  expect(sets[0], Register::gdt_base, 0xf0040);
  expect(sets[0], Register::tr_base, 0);
}

TEST(HmpRegisters, LongModeWithTwoVcpus) {
  const auto sets = parse_sample("registers_64bit.txt");
  ASSERT_EQ(sets.size(), 2U);
  const RegisterSet& set = sets[0];
  expect(set, Register::rcx, 0x0f075898);
  expect(set, Register::rsp, 0x0fe90518);
  expect(set, Register::r8, 0x0fea7e80);
  expect(set, Register::r15, 0x0feafa40);
  expect(set, Register::rip, 0x0f059731);
  expect(set, Register::rflags, 0x206);
  expect(set, Register::cs_selector, 0x38);
  expect(set, Register::cs_attributes, 0xa09a);
  expect(set, Register::ds_attributes, 0xc093);
  expect(set, Register::gdt_base, 0x0f5db000);
  expect(set, Register::idt_limit, 0xfff);
  expect(set, Register::cr0, 0x80010033);
  expect(set, Register::cr3, 0x0f801000);
  expect(set, Register::cr4, 0x668);
  expect(set, Register::efer, 0xd00);
  expect_absent(set, kNeverPrinted);
  EXPECT_TRUE(sets[1].get(Register::cr3));
  EXPECT_NE(sets[0], sets[1]);
}

TEST(HmpRegisters, SeaBiosAndOwnFirmware) {
  expect(parse_sample("registers_seabios.txt").at(0), Register::es_base, 0xd9800);
  expect(parse_sample("registers_long_mode.txt").at(0), Register::rip, 0xf0090);
}

TEST(HmpRegisters, TruncatedBases_AreAbsent) {
  const auto sets = parse_sample("registers_compat.txt");
  ASSERT_EQ(sets.size(), 1U);
  expect_absent(sets[0], {Register::fs_base, Register::gs_base, Register::ldt_base, Register::tr_base});
  expect(sets[0], Register::fs_limit, 0xffff);
  expect(sets[0], Register::cs_base, 0);
  expect(sets[0], Register::gdt_base, 0xf0068);
  expect(sets[0], Register::rax, 0xe0000011);
}

TEST(HmpRegisters, AttributesKeepAllDescriptorBitsAndNoOthers) {
  for (unsigned bit = 0; bit < 32; ++bit) {
    std::array<char, 100> line{};
    std::snprintf(line.data(), line.size(), "CPU#0\r\nES =0000 00000000 0000ffff %08x\r\n", 1U << bit);
    const auto sets = parse_info_registers(line.data());
    ASSERT_TRUE(sets) << sets.error().message();
    const std::uint64_t kept =
        (bit >= 8 && bit < 16) || (bit >= 20 && bit < 24) ? std::uint64_t{1} << (bit - 8) : 0;
    const std::uint64_t unusable = bit == 15 ? 0 : std::uint64_t{1} << 16; // bit 15: present
    expect(sets->at(0), Register::es_attributes, kept | unusable);
  }
}

TEST(HmpRegisters, NumbersWithGapsAndOrder) {
  const auto sets = parse_info_registers("CPU#3\nEAX=00000003\nCPU#1\nEAX=00000001 EBX=00000002\n");
  ASSERT_TRUE(sets) << sets.error().message();
  ASSERT_EQ(sets->size(), 4U);
  EXPECT_TRUE(sets->at(0).empty());
  EXPECT_TRUE(sets->at(2).empty());
  expect(sets->at(3), Register::rax, 3);
  expect(sets->at(1), Register::rbx, 2);
}

TEST(HmpRegisters, MalformedTextIsAnErrorThatNamesTheLine) {
  for (const std::string line :
       {"RAX=xyz", "RAX=", "RAX=10000000000000000", "ES =0000 00000000 0000ffff", "ES =", "GDT=     0000",
        "IDT= 00000000 zz", "LDT=0000 00000000 0000ffff 0x008200", "CR0=60000010 CR2=\x80"}) {
    const auto sets = parse_info_registers("CPU#0\r\n" + line + "\r\n");
    ASSERT_FALSE(sets) << line;
    EXPECT_EQ(sets.error().kind, ErrorKind::source_failed);
    EXPECT_THAT(sets.error().text, testing::HasSubstr("'" + line.substr(0, 3)));
  }
  for (const std::string text :
       {"", "\r\n", "CPU#0\r\n", "RAX=0000000000000001\r\n", "CPU#x\r\nEAX=00000001",
        "CPU#99999999\r\nEAX=00000001", "CPU#\r\nEAX=00000001", "PC=0000 X01=0000"}) {
    EXPECT_FALSE(parse_info_registers(text)) << text;
  }
}

/// Those of arm, s390x and sh4 have names that x86 has too.
TEST(HmpRegisters, OtherArchitectures_AreUnsupported) {
  for (const std::string architecture : {"arm", "aarch64", "riscv64", "m68k", "avr", "sh4"}) {
    const std::string text = read_sample("registers_" + architecture + ".txt");
    ASSERT_NE(text.find("CPU#0"), std::string::npos) << architecture;
    const auto sets = parse_info_registers(text);
    ASSERT_FALSE(sets) << architecture;
    EXPECT_EQ(sets.error().kind, ErrorKind::unsupported) << sets.error().text;
  }
}

TEST(HmpRegisters, TruncatedOverlongAndBinaryText) {
  const std::string text = read_sample("registers_64bit.txt");
  for (std::size_t size = 0; size < text.size(); size += 5) {
    static_cast<void>(parse_info_registers(text.substr(0, size)));
  }
  static_cast<void>(parse_info_registers("CPU#0\n" + std::string(1 << 20, '=')));
  static_cast<void>(parse_info_registers("CPU#0\nEAX=00000001 " + std::string(1 << 20, 'x') + "="));
  EXPECT_FALSE(parse_info_registers(std::string(1 << 16, '\0')));
}

} // namespace
} // namespace vmemfs
