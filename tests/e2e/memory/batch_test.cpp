// SPDX-License-Identifier: MIT
// Scattered reads by `batch` through the mount: of real guests, with what QEMU itself saves as the truth, and
// of a fake one, in which every byte is known.
#include "e2e/memory/fake_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <sys/stat.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

struct Range {
  std::uint64_t address;
  std::uint64_t length;
};
struct Entry {
  std::uint64_t address;
  std::uint32_t given;
  std::int32_t status;
};

std::string request_for(const std::vector<Range>& ranges) {
  return "VMBATCH1" +
         std::string{reinterpret_cast<const char*>(ranges.data()), ranges.size() * sizeof(Range)};
}

std::size_t bytes_of(const std::vector<Range>& ranges) {
  std::size_t sum = 0;
  for (const Range& range : ranges) {
    sum += range.length;
  }
  return sum;
}

/// The status of each range; its bytes are moved to `data`.
std::vector<Entry> entries_of(const std::vector<Range>& ranges, std::vector<std::byte> answer,
                              std::vector<std::byte>& data) {
  const std::size_t sum = bytes_of(ranges);
  EXPECT_EQ(answer.size(), sum + 16 * ranges.size());
  std::vector<Entry> entries(ranges.size());
  std::memcpy(entries.data(), answer.data() + sum, 16 * ranges.size());
  answer.resize(sum);
  data = std::move(answer);
  return entries;
}

UniqueFd open_batch(const Mount& mount, const char* vm = "vm", int flags = O_RDWR) {
  return UniqueFd{::open((mount / (std::string{vm} + "/batch")).c_str(), flags | O_CLOEXEC)};
}

void put(int fd, std::string_view request) {
  ASSERT_EQ(::pwrite(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size())) << errno;
}

/// pread that is continued until the end.
std::vector<std::byte> read_to_end(int fd, std::size_t at_once) {
  std::vector<std::byte> all;
  for (;;) {
    const auto part = pread_at(fd, all.size(), at_once);
    EXPECT_EQ(part.error, 0);
    if (part.bytes.empty()) {
      return all;
    }
    all.insert(all.end(), part.bytes.begin(), part.bytes.end());
  }
}

/// Random ranges in and around the memory of a guest, compared with its own file of it and with `mem`.
void compare_with_truth(const Mount& mount, const std::string& vm, QemuGuest& guest, std::uint64_t size) {
  const auto truth = guest.pmemsave(0, size);
  const UniqueFd mem{::open((mount / (vm + "/mem")).c_str(), O_RDONLY | O_CLOEXEC)};
  const UniqueFd batch = open_batch(mount, vm.c_str());
  ASSERT_TRUE(batch);
  std::mt19937_64 random{42};
  for (const std::uint64_t longest : {16U, 5000U, 70000U}) {
    std::vector<Range> ranges;
    for (int i = 0; i < 200; ++i) {
      ranges.push_back({random() % (size + longest), random() % longest});
      ranges.push_back({0x9f000 + random() % 0x70000, random() % longest}); // holes and firmware
    }
    put(batch.get(), request_for(ranges));
    std::vector<std::byte> data;
    const auto entries = entries_of(ranges, read_to_end(batch.get(), std::size_t{64} << 20U), data);
    std::size_t at = 0;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const auto [address, length] = ranges[i];
      const auto alone = pread_at(mem.get(), address, length);
      ASSERT_EQ(entries[i].address, address);
      ASSERT_EQ(entries[i].given, alone.bytes.size()) << std::hex << address << " " << length;
      const bool cut = alone.bytes.size() < length && address + alone.bytes.size() < size;
      ASSERT_EQ(entries[i].status, cut ? EIO : 0) << std::hex << address << " " << length;
      const auto begin = data.begin() + static_cast<std::ptrdiff_t>(at);
      const auto end = begin + entries[i].given;
      if (entries[i].given > 0) {
        ASSERT_TRUE(std::equal(begin, end, truth.begin() + static_cast<std::ptrdiff_t>(address)));
      }
      ASSERT_TRUE(std::all_of(end, begin + static_cast<std::ptrdiff_t>(length),
                              [](std::byte byte) { return byte == std::byte{0}; }));
      at += length;
    }
  }
}

TEST(BatchOfQemu, PrivateAndSharedMemory_AreWhatQemuSaves) {
  GuestOptions shared;
  shared.machine = "pc,memory-backend=m0";
  shared.extra = {"-object", "memory-backend-memfd,id=m0,size=64M,share=on"};
  QemuGuest one{{}};
  QemuGuest two{shared};
  one.pause();
  two.pause();
  const Mount mount{{"--vm", fmt::format("private=qemu:qmp={}", one.driver_socket()), "--vm",
                     fmt::format("shared=qemu:qmp={}", two.driver_socket())}};
  constexpr std::uint64_t kSize = 64U << 20U;
  compare_with_truth(mount, "private", one, kSize);
  compare_with_truth(mount, "shared", two, kSize);
}

TEST(BatchOfQemu, VmEnds_AnswersENODEV) {
  QemuGuest guest{{}};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const UniqueFd batch = open_batch(mount);
  const UniqueFd unused = open_batch(mount);
  put(batch.get(), "0 16\n");
  EXPECT_FALSE(pread_at(batch.get(), 0, 100).bytes.empty());
  guest.process().signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return pread_at(batch.get(), 0, 100).error == ENODEV; }));
  EXPECT_EQ(pread_at(batch.get(), 5, 100).error, ENODEV);
  EXPECT_TRUE(eventually([&] { return pread_at(unused.get(), 0, 100).error == ENODEV; }));
  EXPECT_EQ(::pwrite(batch.get(), "0 16\n", 5, 0), -1);
  EXPECT_EQ(errno, ENODEV);
}

class Batch : public testing::Test {
protected:
  Mount mount_{{"--vm", "vm=fake:size=64M,holes=0xa0000-0x100000"}};
  UniqueFd batch_ = open_batch(mount_);
};

TEST_F(Batch, LargestAnswer_IsReadInPartsOfAnySize) {
  std::vector<Range> ranges;
  for (std::uint64_t i = 0; i < 4096; ++i) {
    ranges.push_back({0x100000 + (i * 7919 % 16000) * 4096, 4096});
  }
  put(batch_.get(), request_for(ranges));
  const auto whole = read_to_end(batch_.get(), std::size_t{32} << 20U);
  ASSERT_EQ(whole.size(), 4096U * (4096 + 16));
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    ASSERT_EQ(whole[i * 4096 + 8], fake_byte(ranges[i].address + 8));
  }
  for (const std::size_t at_once : {1000003U, 4096U * 3, 65536U}) {
    EXPECT_TRUE(read_to_end(batch_.get(), at_once) == whole) << at_once;
  }
  put(batch_.get(), "0x1000 4\n");
  EXPECT_EQ(read_to_end(batch_.get(), 1).size(), std::strlen("0x0000000000001000 4 ok 01234567\n"));
}

/// The kernel passes a request of up to 256 pages of the caller's.
TEST_F(Batch, LargestRequest_ArrivesWholeWhereverItsBufferBegins) {
  std::vector<Range> ranges(65000, {0x1000, 1});
  const std::string request = request_for(ranges);
  std::vector<char> buffer(request.size() + 8192);
  for (const std::size_t shift : {0U, 1U, 4095U, 16U}) {
    std::ranges::copy(request, buffer.begin() + static_cast<std::ptrdiff_t>(shift));
    put(batch_.get(), {buffer.data() + shift, request.size()});
    EXPECT_EQ(read_to_end(batch_.get(), std::size_t{4} << 20U).size(), 65000U * 17);
  }
  const std::string lines = "0x1000 1\n" + std::string(1044480 - 9, '\n');
  std::ranges::copy(lines, buffer.begin() + 3);
  put(batch_.get(), {buffer.data() + 3, lines.size()});
  EXPECT_EQ(read_to_end(batch_.get(), 1000).size(), std::strlen("0x0000000000001000 1 ok 31\n"));
}

TEST_F(Batch, RequestsBeyondALimit_AreRefusedWithTheReason) {
  const auto refused = [&](const std::string& request) -> std::string {
    errno = 0;
    EXPECT_EQ(::pwrite(batch_.get(), request.data(), request.size(), 0), -1);
    EXPECT_EQ(errno, EINVAL);
    const auto words = pread_at(batch_.get(), 0, 1000).bytes;
    return {reinterpret_cast<const char*>(words.data()), words.size()};
  };
  EXPECT_THAT(refused(request_for(std::vector<Range>(65001, {0, 1}))), HasSubstr("more than 65000 ranges"));
  EXPECT_THAT(refused(request_for(std::vector<Range>(400000, {0, 1}))), HasSubstr("at most 1044480"));
  EXPECT_THAT(refused(request_for({{0, 16U << 20U}, {0, 1}})), HasSubstr("at most 16777216 bytes"));
  EXPECT_THAT(refused(request_for({{0, ~std::uint64_t{0}}})), HasSubstr("at most 16777216 bytes"));
  EXPECT_THAT(refused("0 1048577\n"), HasSubstr("at most 1048576 bytes"));
  EXPECT_THAT(refused(std::string(3 << 20U, '\n')), HasSubstr("at most 1044480"));
  EXPECT_THAT(refused("\xff\xfe\n"), HasSubstr("'\\xff\\xfe'"));
  put(batch_.get(), "0 1\n");
  EXPECT_EQ(read_to_end(batch_.get(), 1000).size(), 27U);
}

TEST_F(Batch, WriteThenRead_NeedNoSeek) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(::write(batch_.get(), "8 1\n", 4), 4);
    char answer[100] = {};
    ASSERT_EQ(::read(batch_.get(), answer, 10), 10);
    ASSERT_EQ(::read(batch_.get(), answer + 10, 90), 17);
    EXPECT_STREQ(answer, fmt::format("0x0000000000000008 1 ok {:02x}\n", fake_byte(8)).c_str());
    EXPECT_EQ(::read(batch_.get(), answer, 90), 0);
  }
}

TEST_F(Batch, ManyOpenFiles_DoNotConcernEachOther) {
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> readers;
    for (std::uint64_t i = 0; i < 8; ++i) {
      readers.emplace_back([&, i] {
        const UniqueFd batch = open_batch(mount_);
        for (std::uint64_t round = 0; round < 100; ++round) {
          std::vector<Range> ranges;
          for (std::uint64_t k = 0; k < 50; ++k) {
            ranges.push_back({0x100000 + (round * 7919 + i * 104729 + k * 50021) % 0x3000000, k});
          }
          const std::string request = request_for(ranges);
          if (::pwrite(batch.get(), request.data(), request.size(), 0) < 0) {
            ++wrong;
          }
          const auto answer = pread_at(batch.get(), 0, 100000).bytes;
          std::size_t at = 0;
          for (const Range& range : ranges) {
            for (std::size_t k = 0; k < range.length; ++k, ++at) {
              wrong += at < answer.size() && answer[at] == fake_byte(range.address + k) ? 0 : 1;
            }
          }
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(BatchOfReadOnlyMount, TakesNoRequests) {
  const Mount mount{{"-o", "ro", "--vm", "vm=fake:size=1M"}};
  EXPECT_FALSE(open_batch(mount));
  EXPECT_EQ(errno, EROFS);
  EXPECT_THAT(read_file(mount / "vm/batch"), HasSubstr("ADDRESS LENGTH"));
}

/// The code of docs/batch.md between ```LANGUAGE and ```.
std::string documented(const std::string& language) {
  const std::string text = read_file(VMEMFS_SOURCE_DIR "/docs/batch.md");
  const std::string mark = "\n```" + language + "\n";
  const std::size_t begin = text.find(mark) + mark.size();
  EXPECT_GE(begin, mark.size()) << language;
  return text.substr(begin, text.find("```", begin) - begin);
}

TEST(BatchDocumentation, Examples_WorkAsTheyAreWritten) {
  const Mount mount{{"--vm", "web01=fake:size=64M,holes=0xa0000-0x100000"}};
  const auto in_mount = [&](const std::vector<std::string>& program) {
    std::vector<std::string> command{"env", "-C", mount.path()};
    command.insert(command.end(), program.begin(), program.end());
    return run(command);
  };
  for (const char* const shell : {"bash", "dash"}) {
    EXPECT_EQ(in_mount({shell, "-c", documented("sh")}).text, documented("text")) << shell;
  }
  EXPECT_EQ(in_mount({"python3", "-c", documented("python")}).text,
            "[(b'1u\\x8b\\xf2\\x93\\x17\\x9e\\x18$\\xf91r\\xd5\\x89G{', 0), (b'', 5)]\n");
  EXPECT_EQ(in_mount({"bash", "-c",
                      "exec 3<>web01/batch; for i in 0x1000 0x1008; do echo $i 1; done >&3; "
                      "while read -r a n status bytes; do echo $bytes; done <&3"})
                .text,
            "31\n24\n");
}

} // namespace
} // namespace vmemfs::test
