// SPDX-License-Identifier: MIT
#include "fs/save/image/image_copy.h"
#include "support/child_process.h"
#include "support/files.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <span>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20U;
constexpr std::size_t kPageBytes = 4096;

class ImageCopies : public testing::Test {
protected:
  /// A file of 9 MiB and a bit: data, a hole of 4 MiB, data with pages of zeros between, an odd end.
  ImageCopies() {
    content_.assign(9 * kMiB + 777, '\0');
    for (std::size_t i = 0; i < content_.size(); ++i) {
      const bool data = i < 2 * kMiB + 5 || (i >= 6 * kMiB && (i / kPageBytes) % 3 != 0);
      content_[i] = data ? static_cast<char>(1 + i % 251) : '\0';
    }
    UniqueFd file{::open(source_path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(content_.size())), 0);
    put(file.get(), 0, 2 * kMiB + 5);
    put(file.get(), 6 * kMiB, content_.size());
  }

  void put(int fd, std::size_t begin, std::size_t end) {
    EXPECT_EQ(::pwrite(fd, content_.data() + begin, end - begin, static_cast<off_t>(begin)),
              static_cast<ssize_t>(end - begin));
  }

  std::string source_path() const { return dir_ / "source"; }

  MemorySource source() const {
    return {UniqueFd{::open(source_path().c_str(), O_RDONLY | O_CLOEXEC)}, "source", content_.size()};
  }

  /// As the tool of the same name computes it.
  std::string sha256sum() const { return run({"sha256sum", source_path()}).text.substr(0, 64); }

  TempDir dir_;
  std::string content_;
  UnreadableRanges unreadable_;
  CopyProgress progress_;
  std::atomic<int> ends_ = 0;
  std::stop_source stop_;
};

TEST_F(ImageCopies, ToAFile_AnyNumberOfThreads_IsTheSameAndSparse) {
  for (const unsigned threads : {1U, 2U, 5U}) {
    const std::string path = dir_ / fmt::format("copy{}", threads);
    const UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    MemorySource from = source();
    ends_ = 0;
    ImageCopy copy{
        {from, unreadable_, progress_, [this] { ++ends_; }}, SparseOutput{file.get(), path}, threads};
    const auto sha256 = copy.run(stop_.get_token());
    ASSERT_TRUE(sha256) << sha256.error().text;
    EXPECT_EQ(*sha256, sha256sum());
    EXPECT_TRUE(read_file(path) == content_);
    EXPECT_EQ(ends_, 1);
    struct stat status {};
    ASSERT_EQ(::fstat(file.get(), &status), 0);
    EXPECT_LT(static_cast<std::size_t>(status.st_blocks) * 512, 5 * kMiB) << "holes and pages of zeros";
  }
  EXPECT_EQ(unreadable_.bytes(), 0U);
}

TEST_F(ImageCopies, ToAPipe_IsTheSame) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out{ends[0]};
  UniqueFd in{ends[1]};
  std::string got;
  std::jthread reader{[&] {
    std::array<char, 65536> part{};
    for (ssize_t size = 0; (size = ::read(out.get(), part.data(), part.size())) > 0;) {
      got.append(part.data(), static_cast<std::size_t>(size));
    }
  }};
  MemorySource from = source();
  ImageCopy copy{{from, unreadable_, progress_, [this] { ++ends_; }}, StreamOutput{in.get(), "pipe"}, 3};
  const auto sha256 = copy.run(stop_.get_token());
  in.reset();
  reader.join();
  ASSERT_TRUE(sha256) << sha256.error().text;
  EXPECT_EQ(*sha256, sha256sum());
  EXPECT_TRUE(got == content_);
  EXPECT_EQ(progress_.done, content_.size());
}

TEST_F(ImageCopies, ToANonBlockingPipe_IsTheSame) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out{ends[0]};
  UniqueFd in{ends[1]};
  ASSERT_EQ(::fcntl(in.get(), F_SETFL, O_NONBLOCK), 0);
  std::string got;
  std::jthread reader{[&] {
    std::array<char, 65536> part{};
    for (ssize_t size = 0; (size = ::read(out.get(), part.data(), part.size())) > 0;) {
      got.append(part.data(), static_cast<std::size_t>(size));
    }
  }};
  const auto written = StreamOutput{in.get(), "pipe"}.write(std::as_bytes(std::span{content_}));
  in.reset();
  reader.join();
  ASSERT_TRUE(written) << written.error().text;
  EXPECT_TRUE(got == content_);
}

TEST_F(ImageCopies, ReaderOfThePipeHasEnded_Fails) {
  std::signal(SIGPIPE, SIG_IGN);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  ::close(ends[0]);
  const UniqueFd in{ends[1]};
  MemorySource from = source();
  ImageCopy copy{{from, unreadable_, progress_, [this] { ++ends_; }}, StreamOutput{in.get(), "pipe"}, 3};
  const auto sha256 = copy.run(stop_.get_token());
  ASSERT_FALSE(sha256);
  EXPECT_NE(sha256.error().text.find("Broken pipe"), std::string::npos) << sha256.error().text;
}

/// A pipe that nobody reads.
TEST_F(ImageCopies, Stopped_EndsWithoutASum) {
  const std::string path = dir_ / "copy";
  const UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  MemorySource from = source();
  stop_.request_stop();
  ImageCopy copy{{from, unreadable_, progress_, [this] { ++ends_; }}, SparseOutput{file.get(), path}, 2};
  const auto sha256 = copy.run(stop_.get_token());
  ASSERT_FALSE(sha256);
  EXPECT_EQ(sha256.error().kind, ErrorKind::interrupted);
  EXPECT_EQ(ends_, 0);
}

TEST_F(ImageCopies, WriteFails_EndsWithItsError) {
  const UniqueFd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
  MemorySource from = source();
  ImageCopy copy{{from, unreadable_, progress_, [this] { ++ends_; }}, StreamOutput{full.get(), "full"}, 2};
  const auto sha256 = copy.run(stop_.get_token());
  ASSERT_FALSE(sha256);
  EXPECT_NE(sha256.error().text.find("No space left on device; free some space"), std::string::npos);
}

/// /proc/self/mem is a file whose pages are errors (EIO) where nothing is mapped.
TEST(MemorySources, PagesThatAreErrors_AreZerosAndListed) {
  constexpr std::size_t kPages = 64;
  auto* const memory = static_cast<char*>(
      ::mmap(nullptr, kPages * kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 'x', kPages * kPageBytes);
  for (const std::size_t page : {2U, 3U, 6U}) {
    ASSERT_EQ(::munmap(memory + page * kPageBytes, kPageBytes), 0);
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const MemorySource source{UniqueFd{::open("/proc/self/mem", O_RDONLY | O_CLOEXEC)}, "mem",
                            begin + kPages * kPageBytes};
  std::vector<std::byte> bytes(kPages * kPageBytes, std::byte{'?'});
  UnreadableRanges unreadable;
  const auto read = source.read(begin, bytes, unreadable);
  ASSERT_TRUE(read) << read.error().text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::size_t page = i / kPageBytes;
    ASSERT_EQ(bytes[i], page == 2 || page == 3 || page == 6 ? std::byte{0} : std::byte{'x'}) << i;
  }
  EXPECT_EQ(unreadable.listed(), (std::vector<ByteRange>{{begin + 2 * kPageBytes, begin + 4 * kPageBytes},
                                                         {begin + 6 * kPageBytes, begin + 7 * kPageBytes}}));
  EXPECT_EQ(unreadable.bytes(), 3 * kPageBytes);
}

TEST(MemorySources, FileBecameShorter_RestIsUnreadable) {
  const TempDir dir;
  write_file(dir / "short", std::string(10, 'x'));
  const MemorySource source{UniqueFd{::open((dir / "short").c_str(), O_RDONLY | O_CLOEXEC)}, "short", 100};
  std::vector<std::byte> bytes(100);
  UnreadableRanges unreadable;
  ASSERT_TRUE(source.read(0, bytes, unreadable));
  EXPECT_EQ(bytes[9], std::byte{'x'});
  EXPECT_EQ(unreadable.listed(), (std::vector<ByteRange>{{10, 100}}));
}

TEST(UnreadableRangesTest, AdjacentRanges_AreOne) {
  UnreadableRanges ranges;
  ranges.add({10, 20});
  ranges.add({30, 40});
  ranges.add({20, 30});
  ranges.add({5, 10});
  ranges.add({50, 60});
  EXPECT_EQ(ranges.listed(), (std::vector<ByteRange>{{5, 40}, {50, 60}}));
  EXPECT_EQ(ranges.bytes(), 45U);
}

TEST(UnreadableRangesTest, TooMany_AreCounted) {
  UnreadableRanges ranges;
  for (std::uint64_t i = 0; i < UnreadableRanges::kMaxListed + 7; ++i) {
    ranges.add({3 * i, 3 * i + 1});
  }
  EXPECT_EQ(ranges.listed().size(), UnreadableRanges::kMaxListed);
  EXPECT_EQ(ranges.not_listed(), 7U);
  EXPECT_EQ(ranges.bytes(), UnreadableRanges::kMaxListed + 7);
}

} // namespace
} // namespace vmemfs::test
