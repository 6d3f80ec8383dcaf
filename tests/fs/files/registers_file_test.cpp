// SPDX-License-Identifier: MIT
#include "fs/files/registers_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

class RegistersFileTest : public testing::Test {
protected:
  VmFixture fixture_{{}, {.writable = true}};
  RegistersFile file_{guest_of(fixture_.vm), VcpuId{0}};
};

TEST_F(RegistersFileTest, Write_ReadsBack) {
  ASSERT_TRUE(fixture_.vm->run_state().pause());
  constexpr std::string_view kLine = "rax 0x1234\n";
  ASSERT_EQ(file_.write(kLine, 0), kLine.size());
  EXPECT_THAT(read_file(file_)->bytes(), HasSubstr("1234"));
}

TEST_F(RegistersFileTest, Write_Malformed_Invalid) {
  EXPECT_EQ(file_.write("rax is 5\n", 0).error().kind, ErrorKind::invalid);
}

TEST_F(RegistersFileTest, Read_VmGone_Fails) {
  fixture_.fake->die();
  EXPECT_EQ(read_file(file_)->error(), ErrorKind::vm_gone);
}

} // namespace
} // namespace vmemfs::test
