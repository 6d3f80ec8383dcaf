// SPDX-License-Identifier: MIT
// System calls on the mount of a fake guest, in which every byte is known.
#include "e2e/memory/fake_guest.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr const char* kGuest =
    "vm=fake:size=4M,vcpus=2,holes=0xa0000-0xc0000+0x200000-0x300000,roms=0xf0000-0x100000,bad=0x5000-0x6000";

class FakeMount : public testing::Test {
protected:
  Mount mount_{{"--vm", kGuest}};

  UniqueFd open(const std::string& name, int flags = O_RDONLY) {
    return UniqueFd{::open((mount_ / ("vm/" + name)).c_str(), flags | O_CLOEXEC)};
  }
  int open_error(const std::string& name, int flags) {
    errno = 0;
    return open(name, flags) ? 0 : errno;
  }
  static std::set<std::string> names(const std::string& directory) {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator{directory}) {
      found.insert(entry.path().filename());
    }
    return found;
  }
};

TEST_F(FakeMount, TreeHasTheFilesOfTheContract) {
  EXPECT_THAT(names(mount_.path()), UnorderedElementsAre(".vmemfs", "vm"));
  EXPECT_THAT(names(mount_ / ".vmemfs"), UnorderedElementsAre("control", "drivers", "events", "stats"));
  EXPECT_THAT(names(mount_ / ".vmemfs/drivers"), testing::IsSupersetOf({"dump", "fake", "qemu"}));
  EXPECT_THAT(names(mount_ / "vm"),
              UnorderedElementsAre("mem", "mem_padded", "core", "mem.lime", "maps", "info", "control",
                                   "batch", "vcpus", "ram", "linux"));
  EXPECT_THAT(names(mount_ / "vm/ram"), UnorderedElementsAre("fake.ram", "fake.rom"));
  EXPECT_THAT(names(mount_ / "vm/linux"), UnorderedElementsAre("info"));
  EXPECT_THAT(names(mount_ / "vm/vcpus"), UnorderedElementsAre("0", "1"));
  EXPECT_THAT(names(mount_ / "vm/vcpus/1"), UnorderedElementsAre("regs", "virt", "virt_maps"));
  for (const char* missing :
       {"nothing", "vm/nothing", "vm/vcpus/2", "vm/vcpus/00", "vm/vcpus/-1", "vm/vcpus/0/x"}) {
    EXPECT_FALSE(std::filesystem::exists(mount_ / missing)) << missing;
  }
}

TEST_F(FakeMount, ModesSizesAndBlocks) {
  const auto stat_of = [&](const std::string& name) {
    struct stat status {};
    EXPECT_EQ(::stat((mount_ / name).c_str(), &status), 0) << name;
    return status;
  };
  EXPECT_EQ(stat_of("vm").st_mode, S_IFDIR | 0500U);
  for (const char* name : {"vm/mem", "vm/mem_padded"}) {
    const auto status = stat_of(name);
    EXPECT_EQ(status.st_mode, S_IFREG | 0400U);
    EXPECT_EQ(status.st_size, 4 << 20);
    EXPECT_EQ(status.st_blocks * 512, (4 << 20) - 0x20000 - 0x100000);
    EXPECT_EQ(status.st_uid, ::getuid());
  }
  EXPECT_EQ(stat_of("vm/control").st_mode, S_IFREG | 0600U);
  EXPECT_EQ(stat_of("vm/vcpus/0/regs").st_mode, S_IFREG | 0400U);
  EXPECT_EQ(stat_of("vm/maps").st_mode, S_IFREG | 0400U);
}

TEST_F(FakeMount, MapsAndInfoAreTheFormatsOfTheContract) {
  EXPECT_EQ(read_file(mount_ / "vm/maps"), "0000000000000000-00000000000a0000 rw- ram fake.ram+0x0\n"
                                           "00000000000c0000-00000000000f0000 rw- ram fake.ram+0xc0000\n"
                                           "00000000000f0000-0000000000100000 r-- rom fake.rom+0xf0000\n"
                                           "0000000000100000-0000000000200000 rw- ram fake.ram+0x100000\n"
                                           "0000000000300000-0000000000400000 rw- ram fake.ram+0x300000\n");
  const auto info = nlohmann::json::parse(read_file(mount_ / "vm/info"));
  EXPECT_EQ(info["name"], "fake");
  EXPECT_EQ(info["driver"], "fake");
  EXPECT_EQ(info["state"], "running");
  EXPECT_EQ(info["vcpus"], 2);
  EXPECT_EQ(info["memory"]["size"], 4 << 20);
  for (const char* key : {"uuid", "epoch", "access", "probe", "cache", "bad_pages"}) {
    EXPECT_TRUE(info.contains(key)) << key;
  }
  for (const char* key : {"map", "ram", "registers", "run_control"}) {
    EXPECT_TRUE(info["access"].contains(key)) << key;
  }
}

TEST_F(FakeMount, Mem_HolesAreErrors) {
  const UniqueFd mem = open("mem");
  const auto into_hole = pread_at(mem.get(), 0x9ff00, 4096);
  EXPECT_EQ(into_hole.bytes.size(), 0x100U);
  EXPECT_EQ(into_hole.bytes[0], fake_byte(0x9ff00));
  EXPECT_EQ(pread_at(mem.get(), 0xa0000, 4096).error, EIO);
  EXPECT_EQ(pread_at(mem.get(), 0xbffff, 4096).error, EIO);
  EXPECT_EQ(pread_at(mem.get(), 0x4f00, 4096).bytes.size(), 0x100U);
  EXPECT_EQ(pread_at(mem.get(), 0x5800, 8).error, EIO);
  EXPECT_EQ(pread_at(mem.get(), 4 * kMiB, 8).error, 0);
  EXPECT_TRUE(pread_at(mem.get(), 4 * kMiB, 8).bytes.empty());
  EXPECT_EQ(pread_at(mem.get(), 4 * kMiB - 8, 4096).bytes.size(), 8U);
  EXPECT_TRUE(pread_at(mem.get(), 1ULL << 62, 8).bytes.empty());
}

/// The fake vCPUs have paging off: virtual addresses are physical ones.
TEST_F(FakeMount, Virt_AnyOffset_AndAnEndForThoseWhoReadFromTheStart) {
  const UniqueFd virt = open("vcpus/1/virt");
  EXPECT_EQ(pread_at(virt.get(), 0x9ff00, 4096).bytes.size(), 0x100U);
  EXPECT_EQ(pread_at(virt.get(), 0x10008, 1).bytes, std::vector{fake_byte(0x10008)});
  for (const std::uint64_t offset :
       {0x5000ULL, 0xa0000ULL, 0x400000ULL, 1ULL << 32U, 0x7fff800000000000ULL, (1ULL << 63U) - 9}) {
    EXPECT_EQ(pread_at(virt.get(), offset, 8).error, EIO) << std::hex << offset;
    EXPECT_EQ(::lseek(virt.get(), static_cast<off_t>(offset), SEEK_SET), static_cast<off_t>(offset));
  }
  EXPECT_EQ(read_file(mount_ / "vm/vcpus/0/virt").size(), 0x5000U);
  EXPECT_EQ(open_error("vcpus/0/virt", O_RDWR), EROFS);
  struct stat status {};
  ASSERT_EQ(::fstat(virt.get(), &status), 0);
  EXPECT_EQ(status.st_size, 0);
}

TEST_F(FakeMount, MemPadded_IsCompleteAndItsPaddingIsListed) {
  const std::string text = read_file(mount_ / "vm/mem_padded");
  ASSERT_EQ(text.size(), 4 * kMiB);
  for (std::uint64_t i = 0; i < text.size(); ++i) {
    const bool zero =
        (i >= 0x5000 && i < 0x6000) || (i >= 0xa0000 && i < 0xc0000) || (i >= 0x200000 && i < 0x300000);
    ASSERT_EQ(static_cast<std::byte>(text[i]), zero ? std::byte{0} : fake_byte(i)) << std::hex << i;
  }
  const auto info = nlohmann::json::parse(read_file(mount_ / "vm/info"));
  EXPECT_EQ(info["bad_pages"], nlohmann::json::array({"0x5000"}));
}

TEST_F(FakeMount, SeekDataAndHole) {
  for (const char* name : {"mem", "mem_padded"}) {
    const UniqueFd file = open(name);
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_DATA), 0);
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_HOLE), 0xa0000);
    EXPECT_EQ(::lseek(file.get(), 0xb0000, SEEK_DATA), 0xc0000);
    EXPECT_EQ(::lseek(file.get(), 0x250000, SEEK_HOLE), 0x250000);
    EXPECT_EQ(::lseek(file.get(), 0x300000, SEEK_HOLE), 0x400000);
    EXPECT_EQ(::lseek(file.get(), 0x400000, SEEK_DATA), -1);
    EXPECT_EQ(errno, ENXIO);
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), 0x400000);
  }
}

TEST_F(FakeMount, TextCanBeReadFromTheMiddle) {
  for (const char* name : {"maps", "info", "control", "vcpus/0/regs"}) {
    const std::string whole = read_file(mount_ / ("vm/" + std::string{name}));
    const UniqueFd file = open(name);
    const auto read = pread_at(file.get(), 10, 5);
    ASSERT_EQ(read.bytes.size(), 5U) << name;
    EXPECT_EQ(std::memcmp(read.bytes.data(), whole.data() + 10, 5), 0) << name;
  }
}

TEST_F(FakeMount, Memory_RefusesWriteTruncateAndAppend) {
  for (const char* name : {"mem", "mem_padded"}) {
    EXPECT_EQ(open_error(name, O_WRONLY), EROFS) << name;
    EXPECT_EQ(open_error(name, O_RDWR), EROFS) << name;
    EXPECT_EQ(open_error(name, O_WRONLY | O_TRUNC), EPERM) << name;
    EXPECT_EQ(open_error(name, O_RDWR | O_APPEND), EPERM) << name;
    EXPECT_EQ(::truncate((mount_ / ("vm/" + std::string{name})).c_str(), 0), -1);
    EXPECT_EQ(errno, EPERM);
  }
  EXPECT_EQ(open_error("vcpus/0/regs", O_WRONLY), EROFS);
  EXPECT_EQ(open_error("maps", O_WRONLY), EROFS);
  EXPECT_NE(::unlink((mount_ / "vm/mem").c_str()), 0);
  EXPECT_NE(::mkdir((mount_ / "new").c_str(), 0700), 0);
}

TEST_F(FakeMount, RefusedOpen_HasItsReasonInLastError) {
  const auto last_error = [&] { return read_file(mount_ / "vm/control"); };
  EXPECT_THAT(last_error(), HasSubstr("last_error none"));
  EXPECT_EQ(open_error("mem", O_RDWR), EROFS);
  EXPECT_THAT(last_error(), HasSubstr("last_error vm: writes are off; "));
  EXPECT_EQ(open_error("maps", O_WRONLY), EROFS);
  EXPECT_THAT(last_error(), HasSubstr("last_error fs: this file takes no writes"));
  EXPECT_EQ(open_error("mem", O_WRONLY | O_TRUNC), EPERM); // as dd opens its output
  EXPECT_THAT(last_error(), HasSubstr("conv=notrunc"));
}

TEST_F(FakeMount, Registers_AreTextAndAbsentOnesHaveNoLine) {
  const std::string text = read_file(mount_ / "vm/vcpus/1/regs");
  EXPECT_THAT(text, HasSubstr("rax 0x0000000100001000\nrbx 0x0000000100001001\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("cr8")));
}

TEST_F(FakeMount, PauseAndResumeFromAShell) {
  const std::string control = mount_ / "vm/control";
  EXPECT_THAT(read_file(control), HasSubstr("state running\npaused_by nobody\ndriver fake\n"));
  EXPECT_EQ(run({"sh", "-c", "echo pause > " + control}).code, 0);
  EXPECT_THAT(read_file(control), HasSubstr("state paused\npaused_by vmemfs\n"));
  EXPECT_EQ(run({"sh", "-c", "echo pause > " + control}).code, 0);
  EXPECT_EQ(run({"sh", "-c", "printf 'resume' > " + control}).code, 0);
  EXPECT_THAT(read_file(control), HasSubstr("state running\npaused_by nobody\n"));
  EXPECT_EQ(run({"sh", "-c", "printf 'pause\\nrefresh\\nflush\\nresume\\n' > " + control}).code, 0);
}

TEST_F(FakeMount, RefusedCommand_ReasonIsReadFromTheSameHandle) {
  const UniqueFd control = open("control", O_RDWR);
  const std::pair<std::string_view, const char*> cases[] = {
      {"puase\n", "there is no command 'puase'; there are: pause resume write"},
      {"pause now\n", "'now' is not understood; it is: pause [hold|ttl=DURATION|keep]"},
      {"\x01\xff\n", "there is no command '\\x01\\xff'"},
      {"resume;pause\n", "there is no command 'resume;pause'"},
  };
  for (const auto& [bad, why] : cases) {
    EXPECT_EQ(::write(control.get(), bad.data(), bad.size()), -1);
    EXPECT_EQ(errno, EINVAL);
    char answer[512] = {};
    EXPECT_GT(::read(control.get(), answer, sizeof(answer) - 1), 0);
    EXPECT_STREQ(std::string{answer}.substr(0, 9).c_str(), "control: ");
    EXPECT_THAT(std::string{answer}, HasSubstr(why));
    ASSERT_EQ(::lseek(control.get(), 0, SEEK_SET), 0);
  }
  const std::string_view good = "pause\n";
  ASSERT_EQ(::write(control.get(), good.data(), good.size()), static_cast<ssize_t>(good.size()));
  char answer[64] = {};
  EXPECT_EQ(::read(control.get(), answer, sizeof(answer)), 3);
  EXPECT_STREQ(answer, "ok\n");
  EXPECT_EQ(::read(control.get(), answer, sizeof(answer)), 0);
}

TEST_F(FakeMount, ModificationTime_PausedVm_IsConstant) {
  const auto time_of = [&] {
    struct stat status {};
    EXPECT_EQ(::stat((mount_ / "vm/mem").c_str(), &status), 0);
    return std::pair{status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  };
  const auto first = time_of();
  EXPECT_LT(first, time_of());
  ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
  const auto paused = time_of();
  EXPECT_EQ(paused, time_of());
  ASSERT_EQ(try_write(mount_ / "vm/control", "resume\n"), 0);
  EXPECT_LT(paused, time_of());
}

TEST_F(FakeMount, EightConcurrentReaders_GetTheRightBytes) {
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> readers;
    for (std::uint64_t i = 0; i < 8; ++i) {
      readers.emplace_back([&, i] {
        const UniqueFd mem = open("mem");
        for (std::uint64_t round = 0; round < 200; ++round) {
          const std::uint64_t at = 0x100000 + ((round * 7919 + i * 104729) % 0xff000);
          const auto read = pread_at(mem.get(), at, 777);
          bool right = read.bytes.size() == 777;
          for (std::size_t k = 0; right && k < read.bytes.size(); ++k) {
            right = read.bytes[k] == fake_byte(at + k);
          }
          wrong += right ? 0 : 1;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(WritableMount, RegistersCanBeSetAndBadTextChangesNothing) {
  Mount mount{{"--vm", kGuest, "--writable"}};
  const std::string regs = mount / "vm/vcpus/0/regs";
  const std::string before = read_file(regs);
  EXPECT_EQ(try_write(regs, "rbx 0x1\nnonsense 2\n"), EINVAL);
  EXPECT_EQ(try_write(regs, "rbx 0x1\ncr8 2\n"), EOPNOTSUPP);
  EXPECT_EQ(read_file(regs), before);
  EXPECT_EQ(try_write(regs, "rbx 0x1234\n"), 0);
  EXPECT_THAT(read_file(regs), HasSubstr("rbx 0x0000000000001234\n"));
}

/// The same calls have the same results on a plain file and on a mount of it.
TEST(ParityWithAPlainFile, ReadsSeeksAndStat) {
  TempDir dir;
  const std::string plain = dir / "image.raw";
  std::string bytes(3 * kMiB + 123, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i * 31 + i / 4096);
  }
  write_file(plain, bytes);
  Mount mount{{"--vm", "vm=dump:path=" + plain}};
  EXPECT_THAT(read_file(mount / "vm/control"), testing::StartsWith("state saved\n"));
  for (const char* name : {"vm/mem", "vm/mem_padded"}) {
    const UniqueFd ours{::open((mount / name).c_str(), O_RDONLY | O_CLOEXEC)};
    const UniqueFd theirs{::open(plain.c_str(), O_RDONLY | O_CLOEXEC)};
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4095}, kMiB - 1, 3 * kMiB, 3 * kMiB + 122,
          3 * kMiB + 123, 3 * kMiB + 124, 100 * kMiB}) {
      for (const std::size_t size :
           {std::size_t{0}, std::size_t{1}, std::size_t{4097}, std::size_t{3 << 20}}) {
        const auto a = pread_at(ours.get(), offset, size);
        const auto b = pread_at(theirs.get(), offset, size);
        EXPECT_EQ(a.error, b.error) << offset << " " << size;
        EXPECT_EQ(a.bytes, b.bytes) << offset << " " << size;
      }
      for (const int whence : {SEEK_SET, SEEK_END, SEEK_DATA, SEEK_HOLE}) {
        const auto a = ::lseek(ours.get(), static_cast<off_t>(offset), whence);
        const int a_error = errno;
        const auto b = ::lseek(theirs.get(), static_cast<off_t>(offset), whence);
        EXPECT_EQ(a, b) << offset << " " << whence;
        EXPECT_TRUE(b >= 0 || a_error == errno) << offset << " " << whence;
      }
    }
    EXPECT_EQ(run({"cmp", plain, mount / name}).code, 0);
    EXPECT_EQ(std::filesystem::file_size(mount / name), bytes.size());
  }
}

} // namespace
} // namespace vmemfs::test
