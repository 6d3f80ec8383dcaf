// SPDX-License-Identifier: MIT
// Mounts whose requests come by io_uring: when they do, and that all else is as it is by /dev/fuse. The tests
// that run in both ways are those with the prefix io_uring: see tests/CMakeLists.txt.
#include "e2e/memory/fake_guest.h"
#include "guests/tiny/layout.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/kernel/io_uring.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using std::chrono::seconds;

bool comes_by_io_uring(const Mount& mount) {
  const std::string stats = read_file(mount / ".vmemfs/stats");
  EXPECT_NE(stats.find("\nvmemfs_io_uring "), std::string::npos);
  return stats.find("\nvmemfs_io_uring 1\n") != std::string::npos;
}

class IoUring : public testing::Test {
protected:
  void SetUp() override {
    if (const auto reason = why_no_io_uring()) {
      GTEST_SKIP() << *reason;
    }
  }

  /// A mount that begins while the kernel offers it.
  static std::unique_ptr<Mount> mount(const std::vector<std::string>& args) {
    const IoUringOffered offered;
    return std::make_unique<Mount>(args);
  }
};

TEST_F(IoUring, KernelOffersIt_IsUsedOnRequest) {
  EXPECT_TRUE(comes_by_io_uring(*mount({"--io-uring", "--vm", "vm=fake"})));
  EXPECT_FALSE(comes_by_io_uring(*mount({"--vm", "vm=fake"})));
}

TEST_F(IoUring, MemoryRegistersAndWrites_AreTheGuests) {
  QemuGuest guest{{}};
  const auto by_rings = mount({"--io-uring", "--writable", "--vm",
                               fmt::format("vm=qemu:pid={},qmp={}", guest.pid(), guest.driver_socket())});
  ASSERT_TRUE(comes_by_io_uring(*by_rings));
  ASSERT_EQ(try_write(*by_rings / "vm/control", "pause\n"), 0);
  const UniqueFd mem{::open((*by_rings / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_TRUE(mem);
  constexpr std::size_t kSize = std::size_t{3} << 20U;
  constexpr std::uint64_t kBegin = (std::uint64_t{1} << 20U) + 123;
  EXPECT_EQ(pread_at(mem.get(), kBegin, kSize).bytes, guest.pmemsave(kBegin, kSize));
  // Of the largest size that the kernel sends at once, and some.
  std::vector<std::byte> written(kSize, std::byte{0x5a});
  ASSERT_EQ(::pwrite(mem.get(), written.data(), written.size(), kBegin), static_cast<ssize_t>(kSize));
  EXPECT_EQ(guest.pmemsave(kBegin, kSize), written);
  EXPECT_EQ(pread_at(mem.get(), kBegin, kSize).bytes, written);
  EXPECT_NE(read_file(*by_rings / "vm/vcpus/0/regs").find("\nrip "), std::string::npos);
  ASSERT_EQ(try_write(*by_rings / "vm/control", "resume\n"), 0);
  EXPECT_TRUE(guest.running());
}

/// All requests come from one CPU, so by one queue.
class OneCpu {
public:
  OneCpu() {
    ::sched_getaffinity(0, sizeof(before_), &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    ::sched_setaffinity(0, sizeof(one), &one);
  }
  ~OneCpu() { ::sched_setaffinity(0, sizeof(before_), &before_); }
  OneCpu(const OneCpu&) = delete;
  OneCpu& operator=(const OneCpu&) = delete;

private:
  cpu_set_t before_{};
};

/// The threads that hang in the requests come back later, and must not touch the entries of others.
TEST_F(IoUring, CallersGiveUp_EntriesServeOthers_AndLateThreadsHarmNothing) {
  const OneCpu cpu;
  const auto by_rings =
      mount({"--io-uring", "--vm", "slow=fake:size=16M,delay=6s", "--vm", "quick=fake:size=16M"});
  ASSERT_TRUE(comes_by_io_uring(*by_rings));
  const TempDir dir;
  std::vector<std::unique_ptr<ChildProcess>> readers;
  for (int i = 0; i < 12; ++i) {
    readers.push_back(std::make_unique<ChildProcess>(
        std::vector<std::string>{"head", "-c", "4096", *by_rings / "slow/mem"}, dir / "log"));
  }
  ::usleep(300'000);
  for (const auto& reader : readers) {
    reader->signal(SIGKILL);
  }
  for (const auto& reader : readers) {
    EXPECT_TRUE(reader->wait(seconds{20}).has_value());
  }
  const UniqueFd quick{::open((*by_rings / "quick/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto end = std::chrono::steady_clock::now() + seconds{9};
  for (std::uint64_t at = 0; std::chrono::steady_clock::now() < end; at = (at + 8191) % (1U << 23U)) {
    const ReadResult read = pread_at(quick.get(), at, 100);
    ASSERT_EQ(read.bytes.size(), 100U);
    ASSERT_EQ(read.bytes.front(), fake_byte(at));
    ASSERT_EQ(read.bytes.back(), fake_byte(at + 99));
  }
  const UniqueFd slow{::open((*by_rings / "slow/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const ReadResult read = pread_at(slow.get(), 4095, 2);
  EXPECT_EQ(read.bytes, (std::vector<std::byte>{fake_byte(4095), fake_byte(4096)}));
}

/// The answers are given by other threads than those that took the requests.
TEST_F(IoUring, DetachAndEnd_AnswerReadsThatHang) {
  const auto by_rings =
      mount({"--io-uring", "--vm", "one=fake:size=16M,delay=300s", "--vm", "two=fake:size=16M,delay=300s"});
  const TempDir dir;
  ChildProcess one{{"head", "-c", "4096", *by_rings / "one/mem"}, dir / "log"};
  ChildProcess two{{"head", "-c", "4096", *by_rings / "two/mem"}, dir / "log"};
  ::usleep(300'000);
  ASSERT_EQ(try_write(*by_rings / "one/control", "detach\n"), 0);
  EXPECT_TRUE(one.wait(seconds{20}).has_value());
  EXPECT_FALSE(two.wait({}).has_value());
  by_rings->daemon().signal(SIGTERM);
  EXPECT_TRUE(two.wait(seconds{20}).has_value());
  EXPECT_EQ(by_rings->daemon().wait(seconds{20}), 0);
}

/// Without the parameter of the kernel's module.
TEST(IoUringOption, KernelDoesNotOfferIt_FailsWithTheRemedy) {
  std::ifstream parameter{"/sys/module/fuse/parameters/enable_uring"};
  if (parameter.get() == 'Y') {
    GTEST_SKIP() << "the kernel offers it to all mounts";
  }
  try {
    const Mount on{{"--vm", "vm=fake", "--io-uring"}};
    FAIL() << "it was mounted";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string{error.what()}.find("echo 1 > /sys/module/fuse/parameters/enable_uring"),
              std::string::npos)
        << error.what();
  }
}

} // namespace
} // namespace vmemfs::test
