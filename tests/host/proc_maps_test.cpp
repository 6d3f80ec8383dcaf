// SPDX-License-Identifier: MIT
#include "host/proc_maps.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr const char* kText =
    "55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]\n"
    "7f0000000000-7f0000200000 rw-s 00001000 00:01 1042                       /memfd:a b (deleted)\n"
    "7f0000200000-7f0000300000 ---p 00000000 00:00 0 \n"
    "7f0000400000-7f0000401000 r-xp 0000f000 fe:0a 18446744073709551615       /usr/lib/x\\012y.so\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

TEST(ProcMaps, Text_Parses) {
  const auto maps = parse_maps(kText);
  ASSERT_TRUE(maps) << maps.error().message();
  ASSERT_EQ(maps->size(), 5U);
  const Vma& memfd = (*maps)[1];
  EXPECT_EQ(memfd.range, (HvaRange{0x7f0000000000, 0x7f0000200000}));
  EXPECT_TRUE(memfd.readable && memfd.writable && memfd.shared && !memfd.executable);
  EXPECT_EQ(memfd.file_offset, 0x1000U);
  EXPECT_EQ(memfd.device_minor, 1U);
  EXPECT_EQ(memfd.inode, 1042U);
  EXPECT_EQ(memfd.path, "/memfd:a b (deleted)");
  EXPECT_TRUE(memfd.has_file());
  EXPECT_EQ((*maps)[2].path, "");
  EXPECT_FALSE((*maps)[2].readable);
  EXPECT_EQ((*maps)[3].device_major, 0xfeU);
  EXPECT_EQ((*maps)[3].inode, ~std::uint64_t{0});
  EXPECT_TRUE(parse_maps("").value().empty());
}

TEST(ProcMaps, FindVma_ReturnsTheAreaOfAnAddress) {
  const auto maps = parse_maps(kText).value();
  EXPECT_EQ(find_vma(maps, 0x7f0000000000), &maps[1]);
  EXPECT_EQ(find_vma(maps, 0x7f00001fffff), &maps[1]);
  EXPECT_EQ(find_vma(maps, 0x7f0000200000), &maps[2]);
  EXPECT_EQ(find_vma(maps, 0x7f0000300000), nullptr);
  EXPECT_EQ(find_vma(maps, 0), nullptr);
  EXPECT_EQ(find_vma({}, 0), nullptr);
}

TEST(ProcMaps, MalformedText_IsRefused) {
  for (const char* const line :
       {"x", "1000-2000", "1000-2000 rw-p", "2000-1000 rw-p 0 0:0 0 \n", "1000-1000 rw-p 0 0:0 0 ",
        "1000-2000 rw-p 0 0:0 ", "1000-2000 rw-q 0 0:0 0 ", "1000-2000 wr-p 0 0:0 0 ",
        "1000-2000 rw-p 0 0 0 ", "1000-2000 rw-p g 0:0 0 ", "10000000000000000-2 rw-p 0 0:0 0 ",
        "1000-2000 rw-p 0 100000000:0 0 ", "\n", "1000-3000 rw-p 0 0:0 0 \n2000-4000 rw-p 0 0:0 0 ",
        "2000-3000 rw-p 0 0:0 0 \n1000-2000 rw-p 0 0:0 0 "}) {
    const auto maps = parse_maps(line);
    ASSERT_FALSE(maps) << line;
    EXPECT_EQ(maps.error().kind, ErrorKind::invalid) << line;
  }
}

TEST(ProcMaps, OwnProcess_IsRead) {
  const auto maps = read_own_maps();
  ASSERT_TRUE(maps) << maps.error().message();
  const int on_stack = 0;
  const Vma* const stack = find_vma(*maps, reinterpret_cast<Hva>(&on_stack));
  ASSERT_NE(stack, nullptr);
  EXPECT_TRUE(stack->writable);
}

} // namespace
} // namespace vmemfs
