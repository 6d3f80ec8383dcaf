// SPDX-License-Identifier: MIT
// Texts about a target: its description, where our registers are in it, and its memory map.
#include "arch/aarch64/registers.h"
#include "arch/riscv64/registers.h"
#include "arch/x86_64/registers.h"
#include "drivers/gdbstub/target/register_plan.h"
#include "drivers/gdbstub/target/server_map.h"
#include "drivers/gdbstub/target/target_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

namespace vmemfs::gdbstub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<TargetDescription> parse(const std::string& text,
                                const std::map<std::string, std::string>& others = {}) {
  const FetchDescription fetch = [&](const std::string& name) -> Result<std::string> {
    const auto found = others.find(name);
    return found != others.end() ? Result<std::string>{found->second}
                                 : fail(ErrorKind::source_failed, "test", "there is no " + name);
  };
  return parse_target_description(text, fetch);
}

TEST(TargetDescription, RegistersAreNumberedInTheOrderOfTheText) {
  const auto description = parse(R"(<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">
    <target><architecture> aarch64 </architecture>
      <xi:include href="core.xml"/>
      <feature name="system"><reg name="SCTLR" bitsize="64" regnum="68" group="cp_regs"/>
        <reg name="TTBR0_EL1" bitsize="64"/></feature>
    </target>)",
                                 {{"core.xml", R"(<feature name="org.gnu.gdb.aarch64.core">
      <flags id="cpsr_flags" size="4"><field name="SP" start="0" end="0"/></flags>
      <reg name="x0" bitsize="64"/><!-- <reg name="x1" bitsize="64"/> --><reg name="cpsr" bitsize="32"/>
    </feature>)"}});
  ASSERT_TRUE(description) << description.error().message();
  EXPECT_EQ(description->architecture, "aarch64");
  EXPECT_THAT(description->registers,
              ElementsAre(TargetRegister{"x0", 0, 64}, TargetRegister{"cpsr", 1, 32},
                          TargetRegister{"SCTLR", 68, 64}, TargetRegister{"TTBR0_EL1", 69, 64}));
}

TEST(TargetDescription, Malformed_IsRefused) {
  for (const char* const text :
       {"", "<target>", "<other/>", R"(<feature><reg name="a" bitsize="7"/></feature>)",
        R"(<feature><reg name="a"/></feature>)",
        R"(<feature><reg name="a" bitsize="8" regnum="-1"/></feature>)",
        R"(<feature><reg name="a" bitsize="99999999999999999999"/></feature>)",
        R"(<feature><reg name="a" bitsize="8" regnum="65535"/><reg name="b" bitsize="8"/></feature>)",
        R"(<target><xi:include href="missing"/></target>)", R"(<target><xi:include/></target>)",
        R"(<target><xi:include href="../x:0,1#"/></target>)"}) {
    EXPECT_FALSE(parse(text)) << text;
  }
  EXPECT_FALSE(parse("<feature>" + std::string(2 << 20, ' ') + "</feature>"));
}

TEST(TargetDescription, IncludesOfItself_End) {
  const std::string self = R"(<target><xi:include href="self"/><xi:include href="self"/></target>)";
  EXPECT_FALSE(parse(self, {{"self", self}}));
}

TEST(RegisterPlan, PlacesAreThoseOfAllRegistersBefore) {
  const auto plan = parse(R"(<target><architecture>i386:x86-64</architecture><feature name="a">
    <reg name="rax" bitsize="64"/><reg name="st0" bitsize="80"/><reg name="eflags" bitsize="32"/>
    <reg name="rax" bitsize="64"/><reg name="k_gs_base" bitsize="64"/><reg name="cr3" bitsize="128"/>
    </feature></target>)")
                        .and_then(&plan_registers);
  ASSERT_TRUE(plan) << plan.error().message();
  ASSERT_EQ(plan->registers.size(), 3U) << "each once, and none of over 64 bits";
  EXPECT_EQ(plan->layout, &x86_64::register_layout());
  EXPECT_EQ(plan->registers[0].reg, RegisterIndex{x86_64::Register::rax});
  EXPECT_EQ(plan->registers[1].reg, RegisterIndex{x86_64::Register::rflags});
  EXPECT_EQ(plan->registers[1].offset, 36U);
  EXPECT_EQ(plan->registers[1].digits, 8U);
  EXPECT_EQ(plan->registers[2].reg, RegisterIndex{x86_64::Register::kernel_gs_base});
  EXPECT_EQ(plan->registers[2].number, 4U);
}

TEST(RegisterPlan, NamesOfAarch64_InCapitalsAndWithoutSuffix) {
  const auto plan = parse(R"(<target><architecture>aarch64</architecture><feature name="a">
    <reg name="x30" bitsize="64"/><reg name="VBAR" bitsize="64"/><reg name="TTBR1_EL1" bitsize="64"/>
    <reg name="v0" bitsize="128"/></feature></target>)")
                        .and_then(&plan_registers);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->registers.size(), 3U);
  EXPECT_EQ(plan->registers[0].reg, RegisterIndex{aarch64::Register::x30});
  EXPECT_EQ(plan->registers[1].reg, RegisterIndex{aarch64::Register::vbar_el1});
  EXPECT_EQ(plan->registers[2].reg, RegisterIndex{aarch64::Register::ttbr1_el1});
}

TEST(RegisterPlan, NamesOfRiscv64_OfTheAbiAndWithNumbers) {
  using riscv64::Register;
  const auto plan = parse(R"(<target><architecture>riscv:rv64</architecture><feature name="a">
    <reg name="zero" bitsize="64"/><reg name="fp" bitsize="64"/><reg name="x9" bitsize="64"/>
    <reg name="t6" bitsize="64"/><reg name="pc" bitsize="64"/><reg name="f8" bitsize="32"/>
    <reg name="ft11" bitsize="64"/><reg name="satp" bitsize="64" regnum="450"/>
    <reg name="x32" bitsize="64"/><reg name="f" bitsize="64"/><reg name="x1_" bitsize="64"/>
    <reg name="x-1" bitsize="64"/><reg name="x" bitsize="64"/><reg name="s0" bitsize="64"/>
    <reg name="f0" bitsize="128"/></feature></target>)")
                        .and_then(&plan_registers);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->layout, &riscv64::register_layout());
  std::vector<std::string> names;
  for (const PlannedRegister& planned : plan->registers) {
    names.emplace_back(plan->layout->name(planned.reg));
  }
  EXPECT_THAT(names, ElementsAre("zero", "s0", "s1", "t6", "pc", "fs0", "ft11", "satp"));
  EXPECT_EQ(plan->registers.back().number, 450U);
}

TEST(RegisterPlan, I386_HasTheLowHalves) {
  const auto plan = parse(R"(<target><architecture>i386</architecture><feature name="a">
    <reg name="eax" bitsize="32"/><reg name="eip" bitsize="32"/></feature></target>)")
                        .and_then(&plan_registers);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->registers[1].reg, RegisterIndex{x86_64::Register::rip});
}

TEST(RegisterPlan, OtherArchitectures_AreUnsupportedWithTheReason) {
  const auto riscv32 = parse(R"(<target><architecture>riscv:rv32</architecture><feature name="a">
    <reg name="sp" bitsize="32"/></feature></target>)")
                           .and_then(&plan_registers);
  ASSERT_FALSE(riscv32);
  EXPECT_EQ(riscv32.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(riscv32.error().text, HasSubstr("riscv:rv32, only for x86, aarch64 and riscv64"));
  const auto none = parse("<target/>").and_then(&plan_registers);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().text, HasSubstr("does not name"));
}

TEST(ServerMap, RangesOfTheXml) {
  const auto map = parse_memory_map_xml(R"(<?xml version="1.0"?>
    <!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" "http://sourceware.org/x.dtd">
    <memory-map><memory type="rom" start="0x00000000" length="134217728"/>
      <memory type="flash" start="0x8000000" length="0x20000"><property name="blocksize">0x400</property></memory>
      <memory type="ram" start="0x20000000" length="0x5000"/></memory-map>)");
  ASSERT_TRUE(map) << map.error().message();
  ASSERT_EQ(map->regions().size(), 3U);
  EXPECT_EQ(map->regions()[1].kind, RegionKind::rom);
  EXPECT_EQ(map->regions()[2].range, (GpaRange{Gpa{0x20000000}, Gpa{0x20005000}}));
  EXPECT_EQ(map->ram_bytes(), 0x5000U);
}

} // namespace
} // namespace vmemfs::gdbstub
