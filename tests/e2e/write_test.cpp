// SPDX-License-Identifier: MIT
// Writes to guest memory through the mount: visible to the guest, or refused with nothing written.
#include "guests/tiny/layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kEcho = TG_INFO_GPA + TG_INFO_OFF_ECHO;

std::vector<std::byte> numbered(std::size_t size, unsigned seed) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i * 13 + seed);
  }
  return bytes;
}

ssize_t put(const UniqueFd& file, std::uint64_t at, std::span<const std::byte> bytes) {
  return ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
}
ssize_t put(const UniqueFd& file, std::uint64_t at, std::uint64_t word) {
  return put(file, at, std::as_bytes(std::span{&word, 1}));
}

class Write : public testing::TestWithParam<const char*> {
protected:
  static GuestOptions options() {
    GuestOptions options;
    if (const std::string backend = GetParam(); backend != "private") {
      options.extra = {"-object", fmt::format("memory-backend-{},id=ram,size=64M,share=on", backend),
                       "-machine", "memory-backend=ram"};
    }
    return options;
  }

  [[nodiscard]] UniqueFd open_mem(const char* name = "mem") const {
    return UniqueFd{::open((mount_.path() + "/vm/" + name).c_str(), O_RDWR | O_CLOEXEC)};
  }

  QemuGuest guest_{options()};
  Mount mount_{{"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest_.driver_socket())}};
};

TEST_P(Write, ToRam_IsSeenByTheGuest) {
  const UniqueFd mem = open_mem();
  ASSERT_EQ(put(mem, kEcho, 0x1122334455667788), 8) << mount_.log();
  EXPECT_TRUE(guest_.wait_for_serial("echo 0x1122334455667788"));
  EXPECT_TRUE(guest_.running());
  EXPECT_THAT(mount_.log(), HasSubstr(fmt::format("vm: wrote 8 bytes at {:#x}", kEcho)));

  guest_.pause();
  ASSERT_EQ(put(open_mem("mem_padded"), kEcho, 0x99), 8) << mount_.log();
  EXPECT_FALSE(guest_.running());
  guest_.resume();
  EXPECT_TRUE(guest_.wait_for_serial("echo 0x0000000000000099"));
}

TEST_P(Write, ToExecutedCode_TakesEffect) {
  EXPECT_TRUE(guest_.wait_for_serial("ready"));
  const UniqueFd mem = open_mem();
  for (const std::uint64_t value : {0xc0dec0de00000002U, 0xc0dec0de00000003U}) {
    ASSERT_EQ(put(mem, TG_CODE_IMM_GPA, value), 8) << mount_.log();
    EXPECT_TRUE(guest_.wait_for_serial(fmt::format("code {:#018x}", value)));
  }
}

TEST_P(Write, AnyOffsetAndSize_EqualsPmemsave) {
  const UniqueFd mem = open_mem();
  guest_.pause();
  constexpr std::uint64_t kBase = 0x2000000;
  constexpr std::size_t kSpan = 0x60000;
  auto expected = guest_.pmemsave(kBase, kSpan);
  unsigned seed = 1;
  for (const std::size_t size : {1U, 3U, 8U, 4095U, 4096U, 5001U, 0x20000U}) {
    const std::uint64_t at = 0x1234 + seed * 0x4321;
    const auto bytes = numbered(size, seed++);
    ASSERT_EQ(put(mem, kBase + at, bytes), static_cast<ssize_t>(size)) << mount_.log();
    std::memcpy(expected.data() + at, bytes.data(), size);
    const auto back = pread_at(mem.get(), kBase + at, size);
    EXPECT_EQ(back.bytes, bytes);
  }
  EXPECT_EQ(guest_.pmemsave(kBase, kSpan), expected);
}

TEST_P(Write, PartlyOutsideRam_IsRefusedWithNothingWritten) {
  const UniqueFd mem = open_mem();
  guest_.pause();
  const auto bytes = numbered(0x2000, 7);
  const std::uint64_t size = static_cast<std::uint64_t>(::lseek(mem.get(), 0, SEEK_END));
  const auto low = guest_.pmemsave(0x80000, 0x80000);
  const auto high = guest_.pmemsave(size - 0x2000, 0x2000);
  EXPECT_EQ(put(mem, 0xf0000, bytes), -1); // firmware
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(put(mem, 0xef000, bytes), -1); // into firmware
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(put(mem, size - 0x1000, bytes), -1); // past the end
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(put(mem, size, bytes), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(guest_.pmemsave(0x80000, 0x80000), low);
  EXPECT_EQ(guest_.pmemsave(size - 0x2000, 0x2000), high);
  EXPECT_THAT(read_file(mount_.path() + "/vm/control"), HasSubstr("no memory at"));
}

INSTANTIATE_TEST_SUITE_P(, Write, testing::Values("private", "memfd"),
                         [](const auto& backend) { return std::string{backend.param}; });

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777U;
}

TEST(WriteSwitch, DefaultIsOffAndCanBeChanged) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const std::string path = mount / "vm/mem";
  EXPECT_EQ(mode_of(path), 0400U);
  EXPECT_EQ(::open(path.c_str(), O_RDWR | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EROFS);
  ASSERT_EQ(try_write(mount / "vm/control", "write on\n"), 0);
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(mode_of(mount / "vm/vcpus/0/regs"), 0600U);
  const UniqueFd mem{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_EQ(put(mem, kEcho, 0x5), 8) << mount.log();
  EXPECT_TRUE(guest.wait_for_serial("echo 0x0000000000000005"));
  ASSERT_EQ(try_write(mount / "vm/control", "write off\n"), 0);
  EXPECT_EQ(put(mem, kEcho, 0x6), -1) << "through a handle that was opened before";
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(WriteSwitch, ByShellTools) {
  QemuGuest guest{{}};
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const auto done = run({"sh", "-c",
                         fmt::format("printf 'ABCDEFGH' | dd of={} bs=8 seek={} conv=notrunc status=none",
                                     mount / "vm/mem", kEcho / 8)});
  EXPECT_EQ(done.code, 0) << done.text << mount.log();
  EXPECT_TRUE(guest.wait_for_serial("echo 0x4847464544434241"));
}

TEST(WriteWithoutMonitor, IsRefusedUnderTcgWithAReason) {
  GuestOptions options;
  options.monitor_for_driver = false;
  QemuGuest guest{options};
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:pid={},timeout=500ms", guest.pid())}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
  const auto before = guest.pmemsave(0x2000000, 4096);
  EXPECT_EQ(put(mem, 0x2000000, 1), -1);
  EXPECT_THAT(errno, testing::AnyOf(EOPNOTSUPP, EBUSY, ETIMEDOUT));
  EXPECT_EQ(guest.pmemsave(0x2000000, 4096), before);
  EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("\"writes\": \""));
  EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("gdbstub"));
}

} // namespace
} // namespace vmemfs::test
