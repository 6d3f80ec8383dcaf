// SPDX-License-Identifier: MIT
#include "fs/files/text/maps_text.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(MapsText, HasTheLinesOfTheContract) {
  const auto map = MemoryMap::build({{{Gpa{0}, Gpa{0x80000000}}, RegionKind::ram, true, 0, 0},
                                     {{Gpa{0xfffc0000}, Gpa{0x100000000}}, RegionKind::rom, false, 1, 0x1000},
                                     {{Gpa{0xfd000000}, Gpa{0xfe000000}}, RegionKind::device, true, 2, 0}},
                                    {"pc.ram", "pc.bios", "evil\nname"});
  ASSERT_TRUE(map.has_value());
  EXPECT_EQ(maps_text(*map), "0000000000000000-0000000080000000 rw- ram pc.ram+0x0\n"
                             "00000000fd000000-00000000fe000000 rw- device evil\\x0aname+0x0\n"
                             "00000000fffc0000-0000000100000000 r-- rom pc.bios+0x1000\n");
}

} // namespace
} // namespace vmemfs
