// SPDX-License-Identifier: MIT
// A Windows crash dump in a mount: `regs`, `virt` and `info` by the few registers that its header has.
#include "image/windows_dump.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t kMapped = 0xfffff80000000000;
constexpr std::uint64_t kTopBit = std::uint64_t{1} << 63U;

std::string table(std::size_t index, std::uint64_t page) {
  std::string entries(kCrashPage, '\0');
  return entries.replace(8 * index, 8, number(page * kCrashPage | 3U, 8));
}

/// Pages 1 to 4 are tables of four levels, which map kMapped to page 0x100.
std::string dump_with_tables() {
  return with(crash_header(1, {{1, 4}, {0x100, 1}}), 0x10, kCrashPage, 8) + table(0x1f0, 2) + table(0, 3) +
         table(0, 4) + table(0, 0x100) + std::string(kCrashPage, 'w');
}

TEST(WindowsDump, InAMount_VirtWalksFromCr3) {
  const TempDir dir;
  write_file(dir / "memory.dmp", dump_with_tables());
  const Mount mount{{"--vm", "win=dump:path=" + dir / "memory.dmp"}};
  const std::string registers = read_file(mount / "win/vcpus/0/regs");
  EXPECT_THAT(registers, HasSubstr("cr3 0x0000000000001000"));
  EXPECT_THAT(registers, HasSubstr("rip 0xfffff80312345678"));
  EXPECT_THAT(registers, Not(HasSubstr("cr0")));
  EXPECT_THAT(read_file(mount / "win/info"), HasSubstr("CR3 from DirectoryTableBase"));

  const UniqueFd file{::open((mount / "win/vcpus/0/virt").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(file);
  std::string bytes(16, '\0');
  EXPECT_EQ(::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>((kMapped + 8) & ~kTopBit)),
            16);
  EXPECT_EQ(bytes, std::string(16, 'w'));
  EXPECT_EQ(::pread(file.get(), bytes.data(), 1, static_cast<off_t>((kMapped + kCrashPage) & ~kTopBit)), -1)
      << "not mapped";
}

} // namespace
} // namespace vmemfs::test
