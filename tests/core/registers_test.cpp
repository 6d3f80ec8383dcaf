#include "core/registers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::HasSubstr;

// The order that scripts rely on, spelled out once more, independently of the table in the code.
TEST(Registers, OrderIsThatOfTheContract) {
  std::vector<std::string> expected{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",
                                    "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"};
  for (const std::string segment : {"cs", "ss", "ds", "es", "fs", "gs", "ldt", "tr"}) {
    for (const std::string part : {"selector", "base", "limit", "attributes"}) {
      expected.push_back(segment + "." + part);
    }
  }
  for (const char* name :
       {"gdt.base",    "gdt.limit",    "idt.base",     "idt.limit", "cr0",   "cr2",    "cr3",
        "cr4",         "cr8",          "dr0",          "dr1",       "dr2",   "dr3",    "dr6",
        "dr7",         "efer",         "star",         "lstar",     "cstar", "sfmask", "kernel_gs_base",
        "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat"}) {
    expected.emplace_back(name);
  }
  const auto names = register_names();
  EXPECT_EQ(std::vector<std::string>(names.begin(), names.end()), expected);
}

TEST(Registers, NamesAndEnumAgree) {
  EXPECT_EQ(to_string(Register::rip), "rip");
  EXPECT_EQ(to_string(segment_register(Segment::cs, SegmentPart::selector)), "cs.selector");
  EXPECT_EQ(to_string(segment_register(Segment::tr, SegmentPart::attributes)), "tr.attributes");
  EXPECT_EQ(to_string(Register::pat), "pat");
  for (std::size_t i = 0; i < kRegisterCount; ++i) {
    EXPECT_EQ(register_by_name(register_names()[i]), static_cast<Register>(i));
  }
  EXPECT_EQ(register_by_name("RAX"), std::nullopt);
  EXPECT_EQ(register_by_name(""), std::nullopt);
}

TEST(Registers, TextHasNoLineForAnAbsentRegister) {
  RegisterSet registers;
  EXPECT_EQ(to_text(registers), "");
  registers.set(Register::rip, 0xfff0);
  registers.set(Register::rax, 0);
  EXPECT_EQ(to_text(registers), "rax 0x0000000000000000\nrip 0x000000000000fff0\n");
}

TEST(Registers, ParsesWhatItPrints) {
  RegisterSet registers;
  for (std::size_t i = 0; i < kRegisterCount; ++i) {
    registers.set(static_cast<Register>(i), ~std::uint64_t{i});
  }
  const auto parsed = parse_registers(to_text(registers));
  ASSERT_TRUE(parsed.has_value());
  RegisterSet again;
  for (const auto& [reg, value] : *parsed) {
    again.set(reg, value);
  }
  EXPECT_EQ(again, registers);
}

TEST(Registers, ParsesDecimalBlanksAndComments) {
  const auto parsed = parse_registers("# a comment\n\n  rbx \t 26 \r\nr15 0xABCDEF");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(*parsed, (std::vector<RegisterValue>{{Register::rbx, 26}, {Register::r15, 0xabcdef}}));
}

struct BadText {
  const char* text;
  const char* complaint;
};
class RegistersBadText : public testing::TestWithParam<BadText> {};

TEST_P(RegistersBadText, IsRefusedWithTheLine) {
  const auto parsed = parse_registers(GetParam().text);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().kind, ErrorKind::invalid);
  EXPECT_THAT(parsed.error().text, HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(Lines, RegistersBadText,
                         testing::Values(BadText{"", "no register"}, BadText{"\n\n", "no register"},
                                         BadText{"rax", "line 1: 'rax' has no value"},
                                         BadText{"rax 1\nrxx 2", "line 2: there is no register 'rxx'"},
                                         BadText{"rax 0x", "no 64-bit number"},
                                         BadText{"rax 0x10000000000000000", "no 64-bit number"},
                                         BadText{"rax -1", "no 64-bit number"},
                                         BadText{"rax 1 2", "no 64-bit number"},
                                         BadText{"\x01\xff 1", "\\x01\\xff"}));

} // namespace
} // namespace vmemfs
