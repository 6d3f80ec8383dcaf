// SPDX-License-Identifier: MIT
// What is promised of guests of another architecture than x86_64.
#include "tests/drivers/qemu/attached_guest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::qemu {
namespace {

TEST(Architecture, I386_RegistersAreReadAndNotSet) {
  AttachedGuest vm{{.program = "qemu-system-i386", .kernel = false}};
  ASSERT_TRUE(vm.control().pause());
  ASSERT_NE(vm.driver().register_reader(), nullptr);
  EXPECT_TRUE(vm.driver().register_reader()->read_vcpu(VcpuId{0}));
  EXPECT_EQ(vm.driver().register_writer(), nullptr) << "QEMU's gdbstub has other numbers there";
  EXPECT_THAT(vm.driver().access().registers, testing::HasSubstr("set: not supported for i386"));
}

TEST(Architecture, DebuggerHasTheStub_InfoSaysThatRegistersAreNotSet) {
  AttachedGuest vm{{.extra = {"-gdb", "null"}, .kernel = false}};
  EXPECT_THAT(vm.driver().access().registers, testing::HasSubstr("set: none: "));
}

} // namespace
} // namespace vmemfs::qemu
