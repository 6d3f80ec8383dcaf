// SPDX-License-Identifier: MIT
#include "arch/aarch64/registers.h"
#include "arch/riscv64/registers.h"
#include "round_trip.h"

namespace vmemfs::riscv64 {
namespace {

// Spelled out once more, independently of the table in the code: x0 to x31 as the ABI calls them.
TEST(Riscv64Registers, GeneralRegisters_ComeFirstInTheOrderOfTheirNumbers) {
  std::vector<std::string> expected = {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"};
  for (int i = 0; i <= 7; ++i) {
    expected.push_back("a" + std::to_string(i));
  }
  for (int i = 2; i <= 11; ++i) {
    expected.push_back("s" + std::to_string(i));
  }
  for (int i = 3; i <= 6; ++i) {
    expected.push_back("t" + std::to_string(i));
  }
  ASSERT_EQ(expected.size(), 32U);
  expected.emplace_back("pc");
  auto names = test::names_of(register_layout());
  ASSERT_GT(names.size(), expected.size());
  names.resize(expected.size());
  EXPECT_EQ(names, expected);
}

TEST(Riscv64Registers, FloatingRegisters_AreInTheOrderOfTheirNumbers) {
  const auto number = [](Register reg) {
    return RegisterIndex{reg}.value() - RegisterIndex{Register::ft0}.value();
  };
  EXPECT_EQ(number(Register::ft7), 7U);
  EXPECT_EQ(number(Register::fs0), 8U);
  EXPECT_EQ(number(Register::fa0), 10U);
  EXPECT_EQ(number(Register::fa7), 17U);
  EXPECT_EQ(number(Register::fs2), 18U);
  EXPECT_EQ(number(Register::fs11), 27U);
  EXPECT_EQ(number(Register::ft8), 28U);
  EXPECT_EQ(number(Register::ft11), 31U);
}

TEST(Riscv64Registers, Names_AgreeWithTheTypedIndexes) {
  EXPECT_EQ(to_string(Register::zero), "zero");
  EXPECT_EQ(to_string(Register::t6), "t6");
  EXPECT_EQ(to_string(Register::priv), "priv");
  EXPECT_EQ(to_string(Register::fcsr), "fcsr");
  EXPECT_EQ(to_string(Register::satp), "satp");
  EXPECT_EQ(to_string(Register::mstatus), "mstatus");
  EXPECT_EQ(to_string(Register::mtval2), "mtval2");
  EXPECT_EQ(to_string(Register::vsatp), "vsatp");
}

TEST(Riscv64Registers, Layout_IsSoundAndRoundTrips) {
  test::expect_sound(register_layout());
  test::expect_round_trip(register_layout());
}

TEST(Riscv64Registers, Text_BecomesASetAndTheSameText) {
  const std::string text = "ra 0xffffffff80003a5e\n"
                           "sp 0xffffffff81403f10\n"
                           "pc 0xffffffff80a4c26c\n"
                           "fcsr 0x0000000000000061\n"
                           "satp 0x9000000000081a3f\n"
                           "mstatus 0x8000000a000060a0\n";
  const auto parsed = parse_registers(register_layout(), text);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  RegisterSet registers{register_layout()};
  for (const auto& [reg, value] : *parsed) {
    registers.set(reg, value);
  }
  EXPECT_EQ(registers.get(Register::satp), 0x9000000000081a3fU);
  EXPECT_EQ(registers.get(Register::a0), std::nullopt);
  EXPECT_EQ(to_text(registers), text);
}

TEST(Riscv64Registers, IndexOfAnotherArchitecture_IsAbsent) {
  RegisterSet registers{register_layout()};
  registers.set(aarch64::Register::sp, 1);
  EXPECT_TRUE(registers.empty());
  EXPECT_FALSE(parse_registers(register_layout(), "x30 1").has_value());
}

} // namespace
} // namespace vmemfs::riscv64
