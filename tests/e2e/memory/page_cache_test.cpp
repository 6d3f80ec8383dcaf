// SPDX-License-Identifier: MIT
// Files that are read through the kernel's page cache, because they were opened while the guest was paused or
// cannot change: they give what others give, ask the daemon nothing, and are never stale once the guest runs.
// The expectation is what a file gives that was opened while the guest ran, which the kernel does not cache.
#include "e2e/memory/fake_guest.h"
#include "e2e/memory/mapping.h"
#include "guests/tiny/layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <random>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

constexpr std::uint64_t kCounter = TG_INFO_GPA + TG_INFO_OFF_COUNTER;

UniqueFd open_file(const std::string& path, int flags = O_RDONLY) {
  UniqueFd file{::open(path.c_str(), flags | O_CLOEXEC)};
  EXPECT_TRUE(file) << path << ": " << std::strerror(errno);
  return file;
}

std::uint64_t word_at(const UniqueFd& file, std::uint64_t offset) {
  const auto read = pread_at(file.get(), offset, 8);
  std::uint64_t value = 0;
  EXPECT_EQ(read.bytes.size(), sizeof(value)) << std::strerror(read.error);
  std::memcpy(&value, read.bytes.data(), std::min(sizeof(value), read.bytes.size()));
  return value;
}

void command(const Mount& mount, const std::string& line) {
  ASSERT_EQ(try_write(mount / "vm/control", line + "\n"), 0) << line;
}

/// Reads of guest memory that the daemon has answered.
long reads_of(const Mount& mount) {
  const std::string stats = read_file(mount / ".vmemfs/stats");
  const std::string key = "vmemfs_reads_total{";
  long all = 0;
  for (auto at = stats.find(key); at != std::string::npos; at = stats.find(key, at + 1)) {
    all += std::stol(stats.substr(stats.find("} ", at) + 2));
  }
  return all;
}

/// How many of 1000 reads of one page the daemon answers.
long answered(const Mount& mount, const UniqueFd& file) {
  static_cast<void>(word_at(file, kCounter));
  const long before = reads_of(mount);
  for (int i = 0; i < 1000; ++i) {
    static_cast<void>(word_at(file, kCounter));
  }
  return reads_of(mount) - before;
}
constexpr long kFew = 10;
constexpr long kAll = 1000;

class PageCache : public testing::Test {
protected:
  static GuestOptions busy() {
    GuestOptions options;
    options.idle = false; // its counter counts
    return options;
  }

  /// Of a file that is never cached: it was opened while the guest ran.
  [[nodiscard]] std::uint64_t live() const { return word_at(direct_, kCounter); }

  QemuGuest guest_{busy()};
  Mount mount_{{"--vm", fmt::format("vm=qemu:qmp={}", guest_.driver_socket())}};
  UniqueFd direct_ = open_file(mount_ / "vm/mem");
};

TEST_F(PageCache, PausedByUs_IsReadFromTheKernel) {
  command(mount_, "pause");
  for (const char* const name : {"vm/mem", "vm/mem_padded"}) {
    const UniqueFd file = open_file(mount_ / name);
    EXPECT_EQ(word_at(file, kCounter), live());
    EXPECT_LE(answered(mount_, file), kFew) << name;
  }
  EXPECT_EQ(answered(mount_, direct_), kAll);
}

TEST_F(PageCache, OpenedWithODirect_GoesPastIt) {
  command(mount_, "pause");
  const UniqueFd file = open_file(mount_ / "vm/mem", O_RDONLY | O_DIRECT);
  const long before = reads_of(mount_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pread_at(file.get(), 4096, 4096).bytes.size(), 4096U);
  }
  EXPECT_EQ(reads_of(mount_), before + 3);
}

/// Each next read is fetched by a second CPU, which is counted though no cache has it.
TEST_F(PageCache, LongSequentialReadsPastIt_PrefetchesAreCounted) {
  command(mount_, "pause");
  const auto cache = [&] { return nlohmann::json::parse(read_file(mount_ / "vm/info"))["cache"]; };
  const UniqueFd file = open_file(mount_ / "vm/mem_padded", O_RDONLY | O_DIRECT);
  constexpr std::size_t kPiece = std::size_t{1} << 20U;
  std::uint64_t at = 0;
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(pread_at(file.get(), at, kPiece).bytes.size(), kPiece);
    at = (at + kPiece) % (48 * kPiece);
    return cache()["read_ahead"].get<std::uint64_t>() > 0;
  }));
  EXPECT_EQ(cache()["used"], 0);
}

TEST(PageCacheReadAhead, MountOfRoot_KernelAsksForAMiB) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "takes root";
  }
  const TempDir dir;
  write_file(dir / "raw", std::string(std::size_t{8} << 20U, 'x'));
  const Mount mount{{"--vm", fmt::format("vm=dump:path={},format=raw", dir / "raw")}};
  const UniqueFd file = open_file(mount / "vm/mem");
  const long before = reads_of(mount);
  EXPECT_EQ(pread_at(file.get(), 0, std::size_t{8} << 20U).bytes.size(), std::size_t{8} << 20U);
  EXPECT_LE(reads_of(mount) - before, 12); // 64 of 128 KiB
}

TEST_F(PageCache, OpenedWhileItRuns_IsNeverCached) {
  EXPECT_EQ(answered(mount_, open_file(mount_ / "vm/mem")), kAll);
}

TEST_F(PageCache, OpenHandle_AfterResume_IsLive) {
  command(mount_, "pause");
  const UniqueFd file = open_file(mount_ / "vm/mem");
  for (int round = 0; round < 10; ++round) {
    ASSERT_EQ(word_at(file, kCounter), live());
    command(mount_, "resume");
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t before = live();
      const std::uint64_t seen = word_at(file, kCounter);
      ASSERT_GE(seen, before) << i;
      ASSERT_LE(seen, live()) << i;
    }
    command(mount_, "pause");
  }
  EXPECT_LE(answered(mount_, file), kFew) << "paused again, it is cached again";
}

TEST_F(PageCache, FileReopened_AfterResumeAndPause_HasNoPageFromBefore) {
  for (int round = 0; round < 30; ++round) {
    command(mount_, "pause");
    const UniqueFd file = open_file(mount_ / "vm/mem");
    ASSERT_EQ(word_at(file, kCounter), live()) << round;
    command(mount_, "resume");
    std::this_thread::sleep_for(milliseconds{5});
  }
}

/// Threads read a counter that only goes up, through handles of all ages, while the guest is paused and
/// resumed at random.
TEST_F(PageCache, RandomPausesUnderReaders_NoReadIsOlderThanItsStart) {
  std::atomic<bool> end{false};
  std::atomic<std::uint64_t> stale{0};
  std::atomic<std::uint64_t> reads{0};
  const auto read = [&](unsigned seed) {
    std::mt19937 random{seed};
    UniqueFd file = open_file(mount_ / "vm/mem");
    while (!end) {
      if (random() % 64 == 0) {
        file = open_file(mount_ / (random() % 2 == 0 ? "vm/mem" : "vm/mem_padded"));
      }
      const std::uint64_t before = live();
      const std::uint64_t seen = word_at(file, kCounter);
      stale += seen < before || seen > live() ? 1U : 0U;
      ++reads;
    }
  };
  std::vector<std::thread> readers;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    readers.emplace_back(read, seed);
  }
  std::mt19937 random{7};
  for (int i = 0; i < 200; ++i) {
    command(mount_, random() % 8 == 0 ? "flush" : random() % 2 == 0 ? "pause" : "resume");
    std::this_thread::sleep_for(milliseconds{random() % 10});
  }
  end = true;
  for (std::thread& reader : readers) {
    reader.join();
  }
  EXPECT_EQ(stale, 0U);
  EXPECT_GT(reads, 200U);
}

TEST_F(PageCache, PausedBySomebodyElse_IsCachedOnlyIfAskedFor) {
  guest_.pause();
  const auto paused = [&] { return read_file(mount_ / "vm/control").starts_with("state paused"); };
  ASSERT_TRUE(eventually(paused));
  EXPECT_EQ(answered(mount_, open_file(mount_ / "vm/mem")), kAll);
  command(mount_, "cache kernel=on");
  const UniqueFd file = open_file(mount_ / "vm/mem");
  EXPECT_LE(answered(mount_, file), kFew);
  const std::uint64_t before = live();
  guest_.resume();
  ASSERT_TRUE(eventually([&] { return live() > before; }));
  std::this_thread::sleep_for(milliseconds{500}); // a resume by somebody else is noticed within 150 ms
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t least = live();
    ASSERT_GE(word_at(file, kCounter), least);
  }
}

/// What `control` says of the kernel's page cache, `info` in the same words, and the log when it changes. It
/// is in use when a file that is opened now asks the daemon for nothing.
class PageCacheState : public testing::Test {
protected:
  [[nodiscard]] std::string line(const std::string& key) const {
    return line_with(read_file(mount_ / "vm/control"), key + " ");
  }
  [[nodiscard]] std::string paused_by() const { return line("paused_by"); }

  void expect_not_in_use(const std::string& remedy) const {
    EXPECT_THAT(line("cache"), EndsWith(" kernel_in_use=no"));
    const std::string reason = line("kernel_not_in_use_because");
    EXPECT_THAT(reason, HasSubstr(remedy));
    const auto cache = nlohmann::json::parse(read_file(mount_ / "vm/info"))["cache"];
    EXPECT_EQ(cache["kernel_in_use"], false);
    EXPECT_EQ("kernel_not_in_use_because " + cache["kernel_not_in_use_because"].get<std::string>(), reason);
    EXPECT_THAT(read_file(mount_ / ".vmemfs/stats"),
                HasSubstr("vmemfs_vm_kernel_cache_in_use{vm=\"vm\",driver=\"qemu\"} 0\n"));
    EXPECT_THAT(mount_.log(), HasSubstr("not read through the kernel's page cache: " +
                                        cache["kernel_not_in_use_because"].get<std::string>()));
    EXPECT_EQ(answered(mount_, open_file(mount_ / "vm/mem")), kAll);
  }
  void expect_in_use() const {
    EXPECT_THAT(line("cache"), EndsWith(" kernel_in_use=yes"));
    EXPECT_EQ(line("kernel_not_in_use_because"), "");
    const auto cache = nlohmann::json::parse(read_file(mount_ / "vm/info"))["cache"];
    EXPECT_EQ(cache["kernel_in_use"], true);
    EXPECT_EQ(cache["kernel_not_in_use_because"], nullptr);
    EXPECT_THAT(read_file(mount_ / ".vmemfs/stats"),
                HasSubstr("vmemfs_vm_kernel_cache_in_use{vm=\"vm\",driver=\"qemu\"} 1\n"));
    EXPECT_LE(answered(mount_, open_file(mount_ / "vm/mem")), kFew);
  }

  QemuGuest guest_{GuestOptions{}};
  Mount mount_{{"-d", "--vm", fmt::format("vm=qemu:qmp={}", guest_.driver_socket())}};
};

TEST_F(PageCacheState, OwnPause_IsInUseUntilResume) {
  expect_not_in_use("`echo pause > control`");
  command(mount_, "pause");
  expect_in_use();
  command(mount_, "resume");
  expect_not_in_use("`echo pause > control`");
}

TEST_F(PageCacheState, PauseBySomebodyElse_KernelOnIsTheRemedy) {
  guest_.pause();
  ASSERT_TRUE(eventually([&] { return paused_by() == "paused_by other"; }));
  expect_not_in_use("`echo cache kernel=on > control`");
  command(mount_, "pause"); // changes nothing
  expect_not_in_use("`echo cache kernel=on > control`");
  command(mount_, "cache kernel=on");
  expect_in_use();
}

TEST_F(PageCacheState, WritesOn_WriteOffIsTheRemedy) {
  command(mount_, "pause\nwrite on");
  expect_not_in_use("`echo write off > control`");
  command(mount_, "write off");
  expect_in_use();
}

TEST_F(PageCacheState, OpenForReadingAndWritingBesideIt_LastErrorHasTheReason) {
  if (!kernel_maps_shared()) {
    GTEST_SKIP() << kNotShared;
  }
  command(mount_, "pause");
  const UniqueFd reader = open_file(mount_ / "vm/mem");
  static_cast<void>(word_at(reader, kCounter));
  command(mount_, "write on");
  EXPECT_EQ(line("last_error"), "last_error none");
  EXPECT_LT(::open((mount_ / "vm/mem").c_str(), O_RDWR | O_CLOEXEC), 0);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_THAT(line("last_error"), AllOf(HasSubstr("since a pause"), HasSubstr("open it for writing only")));
  EXPECT_TRUE(open_file(mount_ / "vm/mem", O_WRONLY));
}

TEST_F(PageCacheState, KernelOff_ControlHasNoReason) {
  command(mount_, "pause\ncache kernel=off");
  EXPECT_THAT(line("cache"), EndsWith(" kernel=off kernel_in_use=no"));
  EXPECT_EQ(line("kernel_not_in_use_because"), "");
  EXPECT_EQ(answered(mount_, open_file(mount_ / "vm/mem")), kAll);
}

/// The first read after a change that nobody has noticed yet finds state and reason.
TEST_F(PageCacheState, ForeignPauseAndResume_TextsHaveTheNewState) {
  for (int round = 0; round < 5; ++round) {
    guest_.pause();
    const std::string paused = read_file(mount_ / "vm/control");
    EXPECT_THAT(paused, HasSubstr("state paused\npaused_by other\n"));
    EXPECT_THAT(paused, HasSubstr("\nkernel_not_in_use_because somebody else"));
    guest_.resume();
    const auto running = nlohmann::json::parse(read_file(mount_ / "vm/info"));
    EXPECT_EQ(running["state"], "running");
    EXPECT_THAT(running["cache"]["kernel_not_in_use_because"].get<std::string>(), HasSubstr("echo pause"));
  }
}

TEST_F(PageCache, Off_IsNotUsed_AndEndsForOpenFiles) {
  command(mount_, "pause");
  const UniqueFd file = open_file(mount_ / "vm/mem");
  EXPECT_LE(answered(mount_, file), kFew);
  command(mount_, "cache kernel=off");
  EXPECT_GE(answered(mount_, file), kAll);
  EXPECT_EQ(answered(mount_, open_file(mount_ / "vm/mem")), kAll);
}

TEST_F(PageCache, WritesGetOn_OpenFilesShowEachWriteAtOnce) {
  command(mount_, "pause");
  const UniqueFd file = open_file(mount_ / "vm/mem");
  constexpr std::uint64_t kPlace = std::uint64_t{32} << 20U;
  static_cast<void>(word_at(file, kPlace));
  command(mount_, "write on");
  const UniqueFd writer = open_file(mount_ / "vm/mem", O_WRONLY);
  for (std::uint64_t value = 1; value <= 50; ++value) {
    ASSERT_EQ(::pwrite(writer.get(), &value, sizeof(value), kPlace), static_cast<ssize_t>(sizeof(value)));
    ASSERT_EQ(word_at(file, kPlace), value);
  }
}

TEST_F(PageCache, GuestEnds_OpenFileGivesNoByteOfIt) {
  command(mount_, "pause");
  const UniqueFd file = open_file(mount_ / "vm/mem");
  static_cast<void>(word_at(file, kCounter));
  guest_.process().signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return pread_at(file.get(), kCounter, 8).error == ENODEV; }));
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(pread_at(file.get(), kCounter, 8).error, ENODEV);
  }
}

/// The kernel drops pages when it sees another time, and would wait for those that are to come.
/// The guest runs on, and nobody would tell the kernel that it has changed.
TEST_F(PageCache, DaemonEnds_NoMappingShowsFormerBytes) {
  for (const int flags : {MAP_PRIVATE, MAP_SHARED}) {
    Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest_.driver_socket())}};
    command(mount, "pause");
    const UniqueFd file = open_file(mount / "vm/mem_padded");
    const Mapping mapping{file.get(), 0, TG_INFO_GPA + 4096, flags};
    ASSERT_FALSE(mapping.bad()) << errno;
    ASSERT_TRUE(mapping.read(kCounter, 8));
    std::atomic<bool> done{false};
    std::jthread toucher{[&] {
      while (!done) {
        static_cast<void>(mapping.read(kCounter, 8));
      }
    }};
    mount.daemon().signal(SIGTERM);
    EXPECT_EQ(mount.daemon().wait(std::chrono::seconds{20}), 0) << mount.log();
    EXPECT_FALSE(mapping.read(kCounter, 8));
    EXPECT_TRUE(eventually([this] { return guest_.running(); }));
    done = true;
  }
}

TEST_F(PageCache, ModificationTime_StaysWhileTheFileIsOpen) {
  command(mount_, "pause");
  const UniqueFd file = open_file(mount_ / "vm/mem");
  static_cast<void>(word_at(file, kCounter));
  const auto mtime = [&] {
    struct stat status {};
    EXPECT_EQ(::stat((mount_ / "vm/mem").c_str(), &status), 0);
    return std::pair{status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  };
  const auto paused = mtime();
  command(mount_, "resume");
  EXPECT_EQ(mtime(), paused);
  EXPECT_GE(word_at(file, kCounter), 1U);
  EXPECT_EQ(mtime(), paused);
}

/// Offsets around all borders, and lengths that cross them.
/// The kernel takes no attributes that were asked for before it dropped pages, as those with the new size
/// are.
TEST(PageCachePlug, MemoryPluggedUnderPause_FirstReadAfterResumeReachesIt) {
  constexpr std::uint64_t kDimm = std::uint64_t{4} << 30U; // the first address for DIMMs of this machine
  constexpr std::uint64_t kDimmEnd = kDimm + (std::uint64_t{128} << 20U);
  GuestOptions options;
  options.memory = "64M,slots=1,maxmem=1G";
  QemuGuest guest{options};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  command(mount, "pause");
  const UniqueFd file = open_file(mount / "vm/mem");
  static_cast<void>(word_at(file, kCounter));
  guest.monitor().execute("object-add",
                          {{"qom-type", "memory-backend-ram"}, {"id", "backend"}, {"size", 128 << 20}});
  guest.monitor().execute("device_add", {{"driver", "pc-dimm"}, {"id", "dimm"}, {"memdev", "backend"}});
  command(mount, "resume");
  EXPECT_EQ(word_at(file, kDimmEnd - 8), 0);
  EXPECT_EQ(pread_at(file.get(), kDimmEnd, 8).bytes.size(), 0U) << "the DIMM ends elsewhere";
}

TEST(PageCacheHoles, CachedFile_GivesWhatAnUncachedOneGives) {
  const Mount mount{{"--vm", "vm=fake:size=4M,holes=0xa0000-0xc0000+0x300000-0x380000,bad=0x5000-0x6000"}};
  for (const char* const name : {"vm/mem", "vm/mem_padded", "vm/core", "vm/mem.lime"}) {
    const UniqueFd direct = open_file(mount / name);
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
    const UniqueFd cached = open_file(mount / name);
    struct stat status {};
    ASSERT_EQ(::fstat(cached.get(), &status), 0);
    for (const std::uint64_t border :
         {std::uint64_t{0}, std::uint64_t{0x5000}, std::uint64_t{0x6000}, std::uint64_t{0xa0000},
          std::uint64_t{0xc0000}, std::uint64_t{0x300000}, static_cast<std::uint64_t>(status.st_size)}) {
      for (const std::int64_t shift : {-4100, -4096, -100, -1, 0, 1, 4095, 4096}) {
        const auto offset = static_cast<std::int64_t>(border) + shift;
        for (const std::size_t size : {1U, 8U, 4096U, 5000U, 300'000U}) {
          if (offset >= 0) {
            const auto expected = pread_at(direct.get(), static_cast<std::uint64_t>(offset), size);
            const auto seen = pread_at(cached.get(), static_cast<std::uint64_t>(offset), size);
            ASSERT_EQ(seen.error, expected.error) << name << " " << offset << " " << size;
            ASSERT_EQ(seen.bytes, expected.bytes) << name << " " << offset << " " << size;
          }
        }
      }
    }
    ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
  }
}

TEST(PageCacheDump, SavedMemory_IsCachedAndEqual) {
  const TempDir dir;
  std::string bytes(std::size_t{8} << 20U, '\0');
  std::mt19937_64 random{1};
  for (char& byte : bytes) {
    byte = static_cast<char>(random());
  }
  std::ofstream{dir / "raw", std::ios::binary} << bytes;
  const Mount mount{{"--vm", fmt::format("vm=dump:path={},format=raw", dir / "raw")}};
  EXPECT_EQ(read_file(mount / "vm/mem"), bytes);
  const UniqueFd file = open_file(mount / "vm/mem");
  EXPECT_LE(answered(mount, file), kFew);
  const long before = reads_of(mount);
  EXPECT_EQ(read_file(mount / "vm/mem"), bytes);
  EXPECT_LE(reads_of(mount) - before, kFew) << "a file that is opened again still has its pages";
}

/// The kernel drops all pages when it is given another time.
TEST(PageCacheDump, AttributesOfAClosedFile_PagesStay) {
  const TempDir dir;
  const std::string bytes(std::size_t{8} << 20U, 'x');
  std::ofstream{dir / "raw", std::ios::binary} << bytes;
  const Mount mount{{"--vm", fmt::format("vm=dump:path={},format=raw", dir / "raw")}};
  EXPECT_EQ(read_file(mount / "vm/mem"), bytes);
  std::this_thread::sleep_for(std::chrono::milliseconds{1100}); // the kernel's attributes are valid no more
  struct stat status {};
  ASSERT_EQ(::stat((mount / "vm/mem").c_str(), &status), 0);
  const long before = reads_of(mount);
  EXPECT_EQ(read_file(mount / "vm/mem"), bytes);
  EXPECT_LE(reads_of(mount) - before, kFew);
}

} // namespace
} // namespace vmemfs::test
