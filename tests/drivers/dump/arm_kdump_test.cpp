// SPDX-License-Identifier: MIT
// A kdump file of a 32-bit machine, which qemu-system-arm writes, against what the same QEMU says of the
// guest's memory. The guest has no program; the test fills its memory.
#include "drivers/dump/dump_driver.h"
#include "support/qemu_guest.h"

#include <algorithm>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

GuestOptions arm_guest(const std::string& content) {
  GuestOptions options;
  options.program = "qemu-system-arm";
  options.machine = "virt";
  options.kernel = false;
  options.extra = {"-cpu", "cortex-a15", "-device",
                   fmt::format("loader,file={},addr=0x40100000,force-raw=on", content)};
  return options;
}

TEST(ArmKdump, OfQemu_HasMemory) {
  if (run({"sh", "-c", "command -v qemu-system-arm"}).code != 0) {
    GTEST_SKIP() << "there is no qemu-system-arm (Debian: qemu-system-arm)";
  }
  const TempDir dir;
  std::string content;
  for (std::uint64_t i = 0; i < 200'000; ++i) {
    content += fmt::format("line {}\n", i * i % 7919);
  }
  write_file(dir / "content", content);
  QemuGuest guest{arm_guest(dir / "content")};
  guest.pause();
  const std::string path = dir / "dump";
  guest.monitor().execute("dump-guest-memory",
                          {{"paging", false}, {"protocol", "file:" + path}, {"format", "kdump-zlib"}});
  const auto driver = DumpDriver::open(path);
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_THAT((*driver)->access().map, HasSubstr("kdump file"));
  EXPECT_TRUE((*driver)->probe().empty());
  constexpr std::uint64_t kRam = 0x40000000;
  std::uint64_t compared = 0;
  for (const Region& region : (*driver)->memory_map()->regions()) {
    const auto truth = guest.pmemsave(region.range.begin.value(), region.range.size());
    std::vector<std::byte> bytes(truth.size());
    ReadPiece piece{region.range.begin, bytes, 0, {}};
    (*driver)->read({&piece, 1});
    ASSERT_EQ(piece.done, bytes.size()) << fmt::format("{:#x}", region.range.begin.value());
    EXPECT_TRUE(bytes == truth) << fmt::format("{:#x}", region.range.begin.value());
    compared += region.range.begin.value() >= kRam ? region.range.size() : 0;
  }
  EXPECT_EQ(compared, std::uint64_t{64} << 20U);
}

} // namespace
} // namespace vmemfs::test
