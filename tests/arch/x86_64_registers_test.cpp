// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "round_trip.h"

namespace vmemfs::x86_64 {
namespace {

// The order that scripts rely on, spelled out once more, independently of the table in the code.
TEST(X86_64Registers, Order_IsThatOfTheTextForm) {
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
  EXPECT_EQ(test::names_of(register_layout()), expected);
}

TEST(X86_64Registers, Names_AgreeWithTheTypedIndexes) {
  EXPECT_EQ(to_string(Register::rip), "rip");
  EXPECT_EQ(to_string(segment_register(Segment::cs, SegmentPart::selector)), "cs.selector");
  EXPECT_EQ(to_string(segment_register(Segment::tr, SegmentPart::attributes)), "tr.attributes");
  EXPECT_EQ(to_string(Register::gdt_limit), "gdt.limit");
  EXPECT_EQ(to_string(Register::pat), "pat");
  EXPECT_EQ(register_by_name("rax"), Register::rax);
  EXPECT_EQ(register_by_name("pat"), Register::pat);
  EXPECT_EQ(register_by_name("RAX"), std::nullopt);
}

TEST(X86_64Registers, Layout_IsSoundAndRoundTrips) {
  test::expect_sound(register_layout());
  test::expect_round_trip(register_layout());
}

TEST(X86_64Registers, BadText_IsRefusedWithAnExampleOfThisArchitecture) {
  const auto parsed = parse_registers(register_layout(), "x1 1");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().text,
            "line 1: there is no register 'x1'; a line is a register's name and its value, "
            "as in 'rbx 0x000000000001ad40'");
}

} // namespace
} // namespace vmemfs::x86_64
