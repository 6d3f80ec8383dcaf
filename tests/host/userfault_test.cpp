// SPDX-License-Identifier: MIT
#include "core/gpa.h"
#include "host/userfault.h"
#include "support/forked_child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace vmemfs {
namespace {

TEST(Userfault, Smaps_FlaggedAreasAreFound) {
  const auto ranges = parse_userfault_ranges("1000-3000 rw-p 00000000 00:00 0 \n"
                                             "Size:                  8 kB\n"
                                             "VmFlags: rd wr mr mw me ac um sd \n"
                                             "4000-5000 rw-p 00000000 00:00 0 [um]\n"
                                             "VmFlags: rd wr mr mw me ac sd \n");
  ASSERT_TRUE(ranges);
  EXPECT_EQ(*ranges, (std::vector{HvaRange{0x1000, 0x3000}}));
  EXPECT_TRUE(parse_userfault_ranges("").value().empty());
  EXPECT_EQ(parse_userfault_ranges("zz\n").error().kind, ErrorKind::invalid);
}

TEST(Userfault, RegisteredRange_IsFound) {
  const ForkedChild child{[] {
    const int fd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
    void* const memory =
        ::mmap(nullptr, 4 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uffdio_api api{};
    api.api = UFFD_API;
    uffdio_register reg{};
    reg.range.start = reinterpret_cast<std::uint64_t>(memory);
    reg.range.len = 4 * kPageSize;
    reg.mode = UFFDIO_REGISTER_MODE_MISSING;
    const bool ok = fd >= 0 && ::ioctl(fd, UFFDIO_API, &api) == 0 && ::ioctl(fd, UFFDIO_REGISTER, &reg) == 0;
    return ChildValues{ok ? reg.range.start : 0};
  }};
  if (child.value(0) == 0) {
    GTEST_SKIP() << "userfaultfd is not allowed here; run as root";
  }
  const auto ranges = userfault_ranges(*child.space());
  ASSERT_TRUE(ranges) << ranges.error().message();
  EXPECT_EQ(*ranges, (std::vector{HvaRange{child.value(0), child.value(0) + 4 * kPageSize}}));
  const ForkedChild other{[] { return ChildValues{}; }};
  EXPECT_TRUE(userfault_ranges(*other.space()).value().empty());
}

} // namespace
} // namespace vmemfs
