// SPDX-License-Identifier: MIT
#include "arch/aarch64/registers.h"
#include "arch/x86_64/registers.h"
#include "round_trip.h"

namespace vmemfs::aarch64 {
namespace {

// Spelled out once more, independently of the table in the code.
TEST(Aarch64Registers, GeneralRegisters_ComeFirstAndAsGdbNamesThem) {
  std::vector<std::string> expected;
  for (int i = 0; i <= 30; ++i) {
    expected.push_back("x" + std::to_string(i));
  }
  expected.insert(expected.end(), {"sp", "pc", "cpsr"});
  auto names = test::names_of(register_layout());
  ASSERT_GT(names.size(), expected.size());
  names.resize(expected.size());
  EXPECT_EQ(names, expected);
}

TEST(Aarch64Registers, Names_AgreeWithTheTypedIndexes) {
  EXPECT_EQ(to_string(Register::x30), "x30");
  EXPECT_EQ(to_string(Register::cpsr), "cpsr");
  EXPECT_EQ(to_string(Register::sctlr_el1), "sctlr_el1");
  EXPECT_EQ(to_string(Register::ttbr0_el1), "ttbr0_el1");
  EXPECT_EQ(to_string(Register::midr_el1), "midr_el1");
}

TEST(Aarch64Registers, Layout_IsSoundAndRoundTrips) {
  test::expect_sound(register_layout());
  test::expect_round_trip(register_layout());
}

TEST(Aarch64Registers, Text_BecomesASetAndTheSameText) {
  const std::string text = "x0 0xffff800081234560\n"
                           "sp 0xffff80008000be40\n"
                           "pc 0xffff800080010000\n"
                           "cpsr 0x00000000600003c5\n"
                           "ttbr1_el1 0x0000000041a3f000\n";
  const auto parsed = parse_registers(register_layout(), text);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  RegisterSet registers{register_layout()};
  for (const auto& [reg, value] : *parsed) {
    registers.set(reg, value);
  }
  EXPECT_EQ(registers.get(Register::cpsr), 0x600003c5U);
  EXPECT_EQ(registers.get(Register::x1), std::nullopt);
  EXPECT_EQ(to_text(registers), text);
}

TEST(Aarch64Registers, IndexOfAnotherArchitecture_IsAbsent) {
  RegisterSet registers{register_layout()};
  registers.set(x86_64::Register::rax, 1);
  EXPECT_TRUE(registers.empty());
  registers.set(Register::x0, 1);
  EXPECT_EQ(registers.get(x86_64::Register::rax), std::nullopt);
  EXPECT_FALSE(parse_registers(register_layout(), "rax 1").has_value());
}

} // namespace
} // namespace vmemfs::aarch64
