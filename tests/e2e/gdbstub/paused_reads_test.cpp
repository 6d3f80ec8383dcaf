// SPDX-License-Identifier: MIT
// Round trips of the driver `gdbstub` in a mount, to the stub of a real QEMU that is a millisecond away.
#include "support/gdb/slow_link.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kRam = std::uint64_t{16} << 20U;

class FarStub : public testing::Test {
protected:
  /// Mounted with these parameters, and paused.
  void mount(const std::string& params) {
    mount_.emplace(std::vector<std::string>{
        "--vm", fmt::format("vm=gdbstub:address={},timeout=60s,maps=0-640K+1M-64M{}", link_.path(), params)});
    ASSERT_EQ(try_write(*mount_ / "vm/control", "pause\n"), 0) << mount_->log();
    mem_ = UniqueFd{::open((*mount_ / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(mem_) << mount_->log();
  }
  /// Round trips that the reads take.
  unsigned read(std::uint64_t from, std::size_t size, std::size_t block) {
    const unsigned before = link_.round_trips().count();
    for (std::size_t at = 0; at < size; at += block) {
      EXPECT_EQ(pread_at(mem_.get(), from + at, block).bytes, guest_.pmemsave(from + at, block));
    }
    return link_.round_trips().count() - before;
  }

  static GuestOptions with_stub(const std::string& stub) {
    GuestOptions options;
    options.extra = {"-gdb", "unix:" + stub + ",server=on,wait=off"};
    return options;
  }

  TempDir dir_;
  const std::string stub_ = dir_ / "gdb";
  QemuGuest guest_{with_stub(stub_)};
  SlowLink link_{stub_, std::chrono::milliseconds{1}};
  std::optional<Mount> mount_;
  UniqueFd mem_;
};

TEST_F(FarStub, PausedAndAlone_SmallReadsTakeFewRoundTrips_AndAreCached) {
  mount(",alone=on");
  constexpr std::size_t kSize = std::size_t{4} << 20U;
  constexpr std::size_t kBlock = std::size_t{16} << 10U;
  EXPECT_LE(read(kRam, kSize, kBlock), kSize / kBlock / 3) << "read ahead by calls of 1 MiB";
  EXPECT_TRUE(eventually([&] { return read(kRam + (1 << 20U), 65536, 65536) == 0; }))
      << "cached, once what is read ahead has come";
}

TEST_F(FarStub, ResumedAndPausedAgain_NothingOfBeforeIsServed) {
  mount(",alone=on");
  static_cast<void>(read(kRam, 65536, 65536));
  ASSERT_EQ(try_write(*mount_ / "vm/control", "resume\n"), 0) << mount_->log();
  ASSERT_EQ(try_write(*mount_ / "vm/control", "pause\n"), 0) << mount_->log();
  EXPECT_GE(read(kRam, 65536, 65536), 1U);
}

TEST_F(FarStub, NotAlone_NothingIsCached) {
  mount("");
  EXPECT_GE(read(kRam, 65536, 65536), 1U);
  EXPECT_GE(read(kRam, 65536, 65536), 1U);
}

/// The next page that is not cached shows it.
TEST_F(FarStub, ResumedBySomebodyElseNevertheless_IsNoticedAtTheNextMiss) {
  mount(",alone=on");
  static_cast<void>(read(kRam, 65536, 65536));
  guest_.resume();
  static_cast<void>(pread_at(mem_.get(), kRam + (8 << 20U), 4096)); // it may fail, as the guest runs again
  EXPECT_TRUE(eventually([&] { return guest_.running(); })) << "it was stopped for that read";
  EXPECT_EQ(pread_at(mem_.get(), kRam, 65536).error, EIO) << "no page comes from the cache";
}

} // namespace
} // namespace vmemfs::test
