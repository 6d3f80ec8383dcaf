// SPDX-License-Identifier: MIT
#include "core/register_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::toy {

// An architecture that exists nowhere else, so that the core has nothing of a real one.
enum class Register : std::uint8_t { acc, flags, counter };
enum class OtherRegister : std::uint8_t { first };

constexpr std::array<RegisterDescription, 3> kDescriptions{
    {{"acc", 64, "general"}, {"flags", 8, "general"}, {"t.counter", 32, "timer"}}};
constexpr RegisterLayout kLayout{"toy", kDescriptions, "acc"};
constexpr std::array<RegisterDescription, 1> kOtherDescriptions{{{"first", 64, "general"}}};
constexpr RegisterLayout kOtherLayout{"other", kOtherDescriptions, "first"};

const RegisterLayout& register_layout(Register) { return kLayout; }
const RegisterLayout& register_layout(OtherRegister) { return kOtherLayout; }

} // namespace vmemfs::toy

namespace vmemfs {
namespace {

using testing::HasSubstr;
using toy::kLayout;
using toy::Register;

TEST(RegisterLayout, NameAndIndex_OfEachRegister_Agree) {
  for (std::size_t i = 0; i < kLayout.size(); ++i) {
    EXPECT_EQ(kLayout.find(kLayout.name(RegisterIndex{i})), RegisterIndex{i});
  }
  EXPECT_EQ(kLayout.name(Register::counter), "t.counter");
  EXPECT_EQ(kLayout.find("ACC"), std::nullopt);
  EXPECT_EQ(kLayout.find(""), std::nullopt);
  EXPECT_EQ(kLayout.name(RegisterIndex{3}), "");
}

TEST(RegisterSet, AbsentRegister_HasNoValueAndNoLine) {
  RegisterSet registers{kLayout};
  EXPECT_TRUE(registers.empty());
  EXPECT_EQ(to_text(registers), "");
  registers.set(Register::counter, 0xfff0);
  registers.set(Register::acc, 0);
  EXPECT_FALSE(registers.empty());
  EXPECT_EQ(registers.get(Register::flags), std::nullopt);
  EXPECT_EQ(registers.get(Register::acc), 0U);
  EXPECT_EQ(to_text(registers), "acc 0x0000000000000000\nt.counter 0x000000000000fff0\n");
}

TEST(RegisterSet, ForeignIndex_IsAbsentAndSetsNothing) {
  RegisterSet registers{kLayout};
  registers.set(toy::OtherRegister::first, 1);
  registers.set(RegisterIndex{3}, 1);
  registers.set(RegisterIndex{kMaxRegisters + 1}, 1);
  EXPECT_TRUE(registers.empty());
  registers.set(Register::acc, 1);
  EXPECT_EQ(registers.get(toy::OtherRegister::first), std::nullopt);
  EXPECT_EQ(registers.get(RegisterIndex{kMaxRegisters + 1}), std::nullopt);
}

TEST(RegisterSet, SetsOfTwoLayouts_AreNotEqual) {
  EXPECT_EQ(RegisterSet{kLayout}, RegisterSet{kLayout});
  EXPECT_NE(RegisterSet{kLayout}, RegisterSet{toy::kOtherLayout});
}

TEST(ParseRegisters, DecimalBlanksAndComments_AreTaken) {
  const auto parsed = parse_registers(kLayout, "# a comment\n\n  flags \t 26 \r\nacc 0xABCDEF");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(*parsed, (std::vector<RegisterValue>{{Register::flags, 26}, {Register::acc, 0xabcdef}}));
}

struct BadText {
  const char* text;
  const char* complaint;
};
class ParseRegistersBadText : public testing::TestWithParam<BadText> {};

TEST_P(ParseRegistersBadText, BadLine_IsRefusedWithItsNumber) {
  const auto parsed = parse_registers(kLayout, GetParam().text);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().kind, ErrorKind::invalid);
  EXPECT_THAT(parsed.error().text, HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(Lines, ParseRegistersBadText,
                         testing::Values(BadText{"", "no register is named; write lines such as 'acc 0x1'"},
                                         BadText{"\n\n", "no register"},
                                         BadText{"acc", "line 1: 'acc' has no value"},
                                         BadText{"acc 1\nrxx 2", "line 2: there is no register 'rxx'"},
                                         BadText{"acc 0x", "not a 64-bit number"},
                                         BadText{"acc 0x10000000000000000", "not a 64-bit number"},
                                         BadText{"acc -1", "not a 64-bit number"},
                                         BadText{"acc 1 2", "not a 64-bit number"},
                                         BadText{"\x01\xff 1", "\\x01\\xff"}));

} // namespace
} // namespace vmemfs
