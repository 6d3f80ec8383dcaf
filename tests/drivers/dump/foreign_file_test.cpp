// SPDX-License-Identifier: MIT
// Files of other programs that are no image of memory: shown as one they would be wrong bytes without an
// error.
#include "drivers/dump/dump_driver.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/qemu_guest.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

void expect_refused(const std::string& path, const std::string& why) {
  const auto driver = DumpDriver::open(path);
  ASSERT_FALSE(driver) << path;
  EXPECT_EQ(driver.error().kind, ErrorKind::invalid);
  EXPECT_THAT(driver.error().text, HasSubstr(why));
  EXPECT_TRUE(DumpDriver::open(path, "raw")) << path;
}

TEST(ForeignFile, Packed_IsRefused) {
  const TempDir dir;
  write_file(dir / "image", std::string(1 << 20, 'm'));
  for (const std::string program : {"gzip", "xz", "bzip2"}) {
    const RunResult packed = run({"sh", "-c", program + " -k '" + (dir / "image") + "'"});
    if (packed.code == 127) {
      continue; // it is not installed
    }
    ASSERT_EQ(packed.code, 0) << packed.text;
    const std::string suffix = program == "gzip" ? ".gz" : program == "xz" ? ".xz" : ".bz2";
    expect_refused(dir / ("image" + suffix), "packed by " + program + "; unpack it first");
  }
}

TEST(ForeignFile, MigrationStreamOfQemu_IsRefused) {
  QemuGuest guest{{.fill = "none"}};
  const std::string path = guest.dir() / "stream";
  guest.monitor().execute("migrate", {{"uri", "exec:cat > '" + path + "'"}});
  ASSERT_TRUE(eventually(
      [&] { return guest.monitor().execute("query-migrate")["status"].get<std::string>() == "completed"; },
      std::chrono::minutes{2}));
  expect_refused(path, "-incoming 'exec:cat FILE'");
}

} // namespace
} // namespace vmemfs::test
