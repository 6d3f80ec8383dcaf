// SPDX-License-Identifier: MIT
// Read, pause and registers of a guest under KVM, if this machine has it.
#include "guests/tiny/layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

TEST(Kvm, GuestIsReadPausedAndItsRegistersSet) {
  if (!UniqueFd{::open("/dev/kvm", O_RDWR | O_CLOEXEC)}) {
    GTEST_SKIP() << "no usable /dev/kvm on this machine";
  }
  GuestOptions options;
  options.accel = "kvm";
  options.fill = "none";
  QemuGuest guest{options};
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
  ASSERT_EQ(try_write(mount / "vm/vcpus/0/regs", "r12 0x55aa\n"), 0) << mount.log();
  EXPECT_TRUE(guest.wait_for_serial("r12 0x00000000000055aa"));
  EXPECT_TRUE(guest.running());

  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  EXPECT_FALSE(guest.running());
  constexpr std::size_t kSize = 1 << 20;
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(pread_at(mem.get(), TG_INFO_GPA, kSize).bytes, guest.pmemsave(TG_INFO_GPA, kSize));
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
  EXPECT_TRUE(guest.running());
}

} // namespace
} // namespace vmemfs::test
