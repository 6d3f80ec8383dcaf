// SPDX-License-Identifier: MIT
// Mappings of guest memory, private and shared: the guest's bytes, faults where there are none, and never
// what somebody wrote into one. Running guests: coherence_test.cpp.
#include "e2e/memory/fake_guest.h"
#include "e2e/memory/mapping.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/sendfile.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr const char* kGuest = "vm=fake:size=4M,holes=0xa0000-0xc0000+0x200000-0x300000,bad=0x5000-0x6000";

UniqueFd open_file(const std::string& path, int flags = O_RDONLY) {
  return UniqueFd{::open(path.c_str(), flags | O_CLOEXEC)};
}

std::vector<std::byte> fake_bytes(std::uint64_t at, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = fake_byte(at + i);
  }
  return bytes;
}

/// The parameter: MAP_PRIVATE or MAP_SHARED.
class Mapped : public testing::TestWithParam<int> {
protected:
  void SetUp() override {
    if (GetParam() == MAP_SHARED && !kernel_maps_shared()) {
      GTEST_SKIP() << kNotShared;
    }
  }
};

TEST_P(Mapped, MemPadded_EqualsTheGuest) {
  const Mount mount{{"--vm", kGuest}};
  const UniqueFd file = open_file(mount / "vm/mem_padded");
  const Mapping mapping{file.get(), 0, 4 * kMiB, GetParam()};
  ASSERT_FALSE(mapping.bad()) << errno;
  EXPECT_EQ(mapping.read(0x100000, kMiB), fake_bytes(0x100000, kMiB));
  EXPECT_EQ(mapping.read(0x200000, kMiB), std::vector<std::byte>(kMiB));
  EXPECT_EQ(mapping.read(0x5000, kPage), std::vector<std::byte>(kPage));
  EXPECT_EQ(mapping.read(0x300000, kMiB), fake_bytes(0x300000, kMiB));
}

TEST_P(Mapped, Images_EqualWhatIsRead) {
  const Mount mount{{"--vm", kGuest}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  for (const char* name : {"vm/core", "vm/mem.lime"}) {
    const UniqueFd file = open_file(mount / name);
    const auto size = static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END));
    const Mapping mapping{file.get(), 0, size, GetParam()};
    ASSERT_FALSE(mapping.bad()) << name << ' ' << errno;
    EXPECT_TRUE(mapping.read(0, size) == pread_at(file.get(), 0, size).bytes) << name;
  }
}

TEST_P(Mapped, Hole_FaultsAndIsNeverZeros) {
  const Mount mount{{"--vm", kGuest}};
  const UniqueFd file = open_file(mount / "vm/mem");
  const Mapping mapping{file.get(), 0, 4 * kMiB, GetParam()};
  ASSERT_FALSE(mapping.bad()) << errno;
  // Reading ahead of it runs into the hole.
  EXPECT_EQ(mapping.read(0x9f123, 1), fake_bytes(0x9f123, 1));
  EXPECT_EQ(mapping.read(0xa0000, 1), std::nullopt);
  EXPECT_EQ(mapping.read(0x5800, 1), std::nullopt);
  EXPECT_EQ(mapping.read(0x4800, 1), fake_bytes(0x4800, 1));
  EXPECT_EQ(mapping.read(0xc0001, 1), fake_bytes(0xc0001, 1));
}

TEST_P(Mapped, VmHasGone_Faults) {
  const Mount mount{{"--vm", kGuest}};
  const UniqueFd file = open_file(mount / "vm/mem");
  const Mapping mapping{file.get(), 0, 4 * kMiB, GetParam()};
  ASSERT_FALSE(mapping.bad()) << errno;
  ASSERT_EQ(try_write(mount / ".vmemfs/control", "detach vm\n"), 0);
  EXPECT_EQ(mapping.read(0x100000, 1), std::nullopt);
}

TEST_P(Mapped, PausedGuest_EqualsPmemsave) {
  constexpr std::size_t kSize = std::size_t{64} << 20U;
  QemuGuest guest{{}};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  const UniqueFd file = open_file(mount / "vm/mem_padded");
  const Mapping mapping{file.get(), 0, kSize, GetParam()};
  ASSERT_FALSE(mapping.bad()) << errno;
  // Below the legacy video memory, which pmemsave reads through the device.
  constexpr std::size_t kLow = 0xa0000;
  EXPECT_TRUE(mapping.read(0, kLow) == guest.pmemsave(0, kLow));
  EXPECT_TRUE(mapping.read(kMiB, kSize - kMiB) == guest.pmemsave(kMiB, kSize - kMiB));
}

INSTANTIATE_TEST_SUITE_P(, Mapped, testing::Values(MAP_PRIVATE, MAP_SHARED), [](const auto& flags) {
  return std::string{flags.param == MAP_SHARED ? "Shared" : "Private"};
});

/// Writes are on, but the mount began without.
class SharedAndWritable : public testing::Test {
protected:
  void SetUp() override {
    if (!kernel_maps_shared()) {
      GTEST_SKIP() << kNotShared;
    }
    ASSERT_EQ(try_write(mount_ / "vm/control", "write on\n"), 0);
  }

  /// Everybody else sees the guest's bytes.
  void expect_unharmed() {
    const UniqueFd other = open_file(mount_ / "vm/mem");
    for (int i = 0; i < 3; ++i) {
      const auto read = pread_at(other.get(), kAt, kPage);
      EXPECT_EQ(read.error, 0);
      EXPECT_EQ(read.bytes, fake_bytes(kAt, kPage));
    }
    EXPECT_EQ(::fsync(other.get()), 0);
  }

  static constexpr std::uint64_t kAt = 0x100000;
  const std::vector<std::byte> scribble_ = std::vector<std::byte>(16, std::byte{0x55});
  Mount mount_{{"--vm", kGuest}};
};

TEST_F(SharedAndWritable, MappedToWrite_NothingIsWrittenAndNobodySeesIt) {
  ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
  {
    // Leaves the page in the kernel's cache.
    const UniqueFd before = open_file(mount_ / "vm/mem");
    const Mapping cached{before.get(), kAt, kPage, MAP_SHARED};
    EXPECT_EQ(cached.read(0, kPage), fake_bytes(kAt, kPage));
  }
  UniqueFd file;
  ASSERT_TRUE(eventually([&] {
    file = open_file(mount_ / "vm/mem", O_RDWR);
    return bool{file};
  })) << errno;
  Mapping mapping{file.get(), kAt, kPage, MAP_SHARED, PROT_READ | PROT_WRITE};
  ASSERT_FALSE(mapping.bad()) << errno;
  EXPECT_FALSE(mapping.write(0, scribble_));
  const UniqueFd other = open_file(mount_ / "vm/mem");
  {
    const Mapping others{other.get(), kAt, kPage, MAP_SHARED};
    EXPECT_EQ(others.read(0, kPage), std::nullopt) << "an error rather than what somebody wrote";
    EXPECT_FALSE(mapping.write(0, scribble_)) << "after another one mapped it";
  }
  expect_unharmed();
  EXPECT_EQ(::pwrite(file.get(), scribble_.data(), scribble_.size(), kAt), 16) << "through the same file";
  EXPECT_EQ(pread_at(other.get(), kAt, 16).bytes, scribble_);
}

TEST_F(SharedAndWritable, FileIsMapped_CanBeOpenedToWriteOnly) {
  UniqueFd reader = open_file(mount_ / "vm/mem");
  {
    const Mapping mapping{reader.get(), kAt, kPage, MAP_SHARED};
    EXPECT_EQ(mapping.read(0, kPage), fake_bytes(kAt, kPage));
    EXPECT_FALSE(open_file(mount_ / "vm/mem", O_RDWR));
    EXPECT_EQ(errno, EBUSY);
    EXPECT_THAT(line_with(read_file(mount_ / "vm/control"), "last_error"),
                AllOf(HasSubstr("mapped"), HasSubstr("open it for writing only")));
    const UniqueFd writer = open_file(mount_ / "vm/mem", O_WRONLY);
    ASSERT_TRUE(writer) << errno;
    EXPECT_EQ(::pwrite(writer.get(), scribble_.data(), scribble_.size(), kAt), 16);
    EXPECT_TRUE(eventually([&] { return mapping.read(0, 16) == scribble_; }));
    EXPECT_TRUE(open_file(mount_ / "vm/mem_padded", O_RDWR)) << "another file";
  }
  reader.reset();
  EXPECT_TRUE(eventually([&] { return bool{open_file(mount_ / "vm/mem", O_RDWR)}; }));
}

TEST_F(SharedAndWritable, WriterHasClosed_CanBeMapped) {
  EXPECT_TRUE(open_file(mount_ / "vm/mem", O_RDWR)); // and closes it
  const UniqueFd reader = open_file(mount_ / "vm/mem");
  EXPECT_TRUE(eventually([&] {
    const Mapping mapping{reader.get(), kAt, kPage, MAP_SHARED};
    return mapping.read(0, kPage) == fake_bytes(kAt, kPage);
  }));
}

/// The kernel writes its pages back as whole ones, which must not be taken for commands.
TEST_F(SharedAndWritable, ControlIsMappedToWrite_NobodyGetsAnError) {
  const UniqueFd file = open_file(mount_ / "vm/control", O_RDWR);
  {
    Mapping mapping{file.get(), 0, kPage, MAP_SHARED, PROT_READ | PROT_WRITE};
    ASSERT_FALSE(mapping.bad()) << errno;
    EXPECT_TRUE(mapping.write(0, scribble_));
  }
  EXPECT_NE(read_file(mount_ / "vm/control").find("state running"), std::string::npos);
  EXPECT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
}

TEST(WrittenFromTheStart, MappedShared_IsRefused) {
  const Mount mount{{"--writable", "--vm", kGuest}};
  const UniqueFd file = open_file(mount / "vm/mem", O_RDWR);
  const Mapping shared{file.get(), 0, kPage, MAP_SHARED};
  EXPECT_TRUE(shared.bad());
  EXPECT_EQ(errno, ENODEV);
  const Mapping mapping{file.get(), 0, kPage, MAP_PRIVATE};
  EXPECT_EQ(mapping.read(0, kPage), fake_bytes(0, kPage));
}

} // namespace
} // namespace vmemfs::test
