// SPDX-License-Identifier: MIT
// What is promised of guests of another architecture than x86_64.
#include "tests/drivers/qemu/attached_guest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <utility>

namespace vmemfs::qemu {
namespace {

TEST(Architecture, I386_RegistersAreReadAndNotSet) {
  AttachedGuest vm{{.program = "qemu-system-i386", .extra = {"-S"}, .kernel = false}};
  ASSERT_TRUE(vm.control().pause());
  ASSERT_NE(vm.driver().register_reader(), nullptr);
  EXPECT_TRUE(vm.driver().register_reader()->read_vcpu(VcpuId{0}));
  EXPECT_EQ(vm.driver().register_writer(), nullptr) << "QEMU's gdbstub has other numbers there";
  EXPECT_THAT(vm.driver().access().registers, testing::HasSubstr("set: not supported for i386"));
}

/// 32 MiB of static RAM, 8 MiB of video RAM and flash at address 0 beside the main memory.
TEST(Architecture, VexpressA15_MonitorAndFlatViewAgree) {
  AttachedGuest vm{{.program = "qemu-system-arm",
                    .machine = "vexpress-a15",
                    .memory = "64M",
                    .extra = {"-S"},
                    .kernel = false}};
  EXPECT_THAT(vm.driver().access().map, testing::HasSubstr("equal to QEMU's own flat view"));
  std::map<std::string, RegionKind> kinds;
  const auto map = vm.driver().memory_map();
  for (const Region& region : map->regions()) {
    kinds[map->blocks()[region.block]] = region.kind;
  }
  EXPECT_THAT(kinds, testing::UnorderedElementsAre(std::pair{"vexpress.flash0", RegionKind::rom},
                                                   std::pair{"vexpress.flash1", RegionKind::rom},
                                                   std::pair{"vexpress.sram", RegionKind::device},
                                                   std::pair{"vexpress.vram", RegionKind::device},
                                                   std::pair{"vexpress.a15sram", RegionKind::device},
                                                   std::pair{"vexpress.highmem", RegionKind::ram}));
}

TEST(Architecture, Arm_HasNoRegisters) {
  AttachedGuest vm{
      {.program = "qemu-system-arm", .machine = "virt", .memory = "64M", .extra = {"-S"}, .kernel = false}};
  EXPECT_EQ(vm.driver().register_reader(), nullptr);
  EXPECT_THAT(vm.driver().access().registers, testing::HasSubstr("not supported for arm"));
}

} // namespace
} // namespace vmemfs::qemu
