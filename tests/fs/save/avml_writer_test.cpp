// SPDX-License-Identifier: MIT
#include "avml_file.h"
#include "fs/save/packed/avml_writer.h"
#include "fs/save/packed/source_image.h"
#include "image/saved/lime_image.h"
#include "packed_fixture.h"
#include "support/child_process.h"

#include <csignal>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kAvmlBlock = std::uint64_t{16} << 20U;

class AvmlWriters : public PackedImages {
protected:
  /// A file as `mem.lime`, with holes where there is no data.
  std::string lime() const {
    const std::string path = dir_ / "mem.lime";
    const UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    off_t at = 0;
    for (const TestRange& range : ranges_) {
      const std::array<std::uint64_t, 4> header{0x1'4c69'4d45, range.begin,
                                                range.begin + range.memory.size() - 1, 0};
      EXPECT_EQ(::pwrite(file.get(), header.data(), sizeof header, at), static_cast<ssize_t>(sizeof header));
      at += sizeof header;
      for (std::size_t begin = 0; begin < range.memory.size(); begin += kPage) {
        const std::string page = range.memory.substr(begin, kPage);
        if (page.find_first_not_of('\0') != std::string::npos) {
          EXPECT_EQ(::pwrite(file.get(), page.data(), page.size(), at + static_cast<off_t>(begin)),
                    static_cast<ssize_t>(page.size()));
        }
      }
      at += static_cast<off_t>(range.memory.size());
    }
    EXPECT_EQ(::ftruncate(file.get(), at), 0);
    return path;
  }

  void expect_memory(const AvmlFile& image) const {
    auto block = image.blocks().begin();
    for (const TestRange& range : ranges_) {
      for (std::size_t begin = 0; begin < range.memory.size(); begin += kAvmlBlock, ++block) {
        ASSERT_NE(block, image.blocks().end());
        EXPECT_EQ(block->begin, range.begin + begin);
        EXPECT_TRUE(block->memory == range.memory.substr(begin, kAvmlBlock)) << std::hex << block->begin;
      }
    }
    EXPECT_EQ(block, image.blocks().end());
  }
};

TEST_F(AvmlWriters, ToAFile_AnyNumberOfThreads_HasTheMemory) {
  ranges_[1].memory.resize(ranges_[1].memory.size() - 777); // ends within a page
  const std::string from = lime();
  std::string first;
  for (const unsigned threads : {1U, 2U, 5U}) {
    const std::string path = dir_ / fmt::format("copy{}", threads);
    ends_ = 0;
    progress_.data = 0;
    progress_.done = 0;
    const auto written = save_to(SaveFormat::avml, from, path, threads);
    ASSERT_TRUE(written) << written.error().text;
    const std::string bytes = read_file(path);
    EXPECT_EQ(written->bytes, bytes.size());
    EXPECT_EQ(written->sha256, sha256sum(path));
    const AvmlFile image{bytes};
    expect_memory(image);
    EXPECT_GE(image.plain_chunks(), 32U) << "random bytes do not become smaller";
    EXPECT_EQ(ends_, 1);
    EXPECT_TRUE(first.empty() || bytes == first) << "the bytes do not depend on the threads";
    first = bytes;
    std::size_t memory = 0;
    for (const TestRange& range : ranges_) {
      memory += range.memory.size();
    }
    EXPECT_EQ(progress_.done, memory);
    EXPECT_LT(progress_.data, memory - 4 * kMiB) << "holes are not read";
  }
  EXPECT_EQ(unreadable_.bytes(), 0U);
}

TEST_F(AvmlWriters, ToAPipe_IsTheSameAsAFile) {
  const std::string from = lime();
  ASSERT_TRUE(save_to(SaveFormat::avml, from, dir_ / "copy"));
  EXPECT_TRUE(save_to_pipe(SaveFormat::avml, from) == read_file(dir_ / "copy"));
}

/// The guest is released although nobody takes the image: it fits in the buffers.
TEST_F(AvmlWriters, OutputIsBlocked_ReadingEnds) {
  ranges_.resize(2);
  ranges_[1].memory.resize(3 * kMiB);
  const std::string from = lime();
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out{ends[0]};
  UniqueFd in{ends[1]};
  Result<WrittenImage> written{};
  std::jthread saving{[&] { written = save(SaveFormat::avml, from, {in.get(), "pipe", false}, 2); }};
  EXPECT_TRUE(eventually([this] { return ends_ == 1; }));
  std::string got;
  std::array<char, 65536> part{};
  std::jthread closing{[&] {
    saving.join();
    in.reset();
  }};
  for (ssize_t size = 0; (size = ::read(out.get(), part.data(), part.size())) > 0;) {
    got.append(part.data(), static_cast<std::size_t>(size));
  }
  closing.join();
  ASSERT_TRUE(written) << written.error().text;
  expect_memory(AvmlFile{got});
}

TEST_F(AvmlWriters, WriteFails_EndsWithItsError) {
  const std::string from = lime();
  const UniqueFd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
  const auto written = save(SaveFormat::avml, from, {full.get(), "full", false}, 2);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().text, HasSubstr("cannot write 'full': No space left on device; free some"));
}

TEST_F(AvmlWriters, ReaderOfThePipeHasEnded_Fails) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::string from = lime();
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  ::close(ends[0]);
  const UniqueFd in{ends[1]};
  const auto written = save(SaveFormat::avml, from, {in.get(), "pipe", false}, 3);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().text, HasSubstr("Broken pipe; the program that reads the pipe has ended"));
}

TEST_F(AvmlWriters, Stopped_Ends) {
  stop_.request_stop();
  const auto written = save_to(SaveFormat::avml, lime(), dir_ / "copy");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::interrupted);
  EXPECT_EQ(ends_, 0);
}

TEST_F(AvmlWriters, SourceIsCutOrDamaged_Fails) {
  const std::string from = lime();
  std::string bytes = read_file(from);
  write_file(from, bytes.substr(0, bytes.size() - 1));
  const auto cut = save_to(SaveFormat::avml, from, dir_ / "cut");
  ASSERT_FALSE(cut);
  EXPECT_THAT(cut.error().text, HasSubstr("cannot read the headers of the VM's lime image: it is cut off"));
  bytes[32 + ranges_[0].memory.size()] = '?';
  write_file(from, bytes);
  const auto damaged = save_to(SaveFormat::avml, from, dir_ / "damaged");
  ASSERT_FALSE(damaged);
  EXPECT_THAT(damaged.error().text, HasSubstr("there is no LiME header at offset"));
}

/// /proc/self/mem is a file whose pages are errors (EIO) where nothing is mapped.
TEST_F(AvmlWriters, PagesThatAreErrors_AreZerosAndListedByAddress) {
  constexpr std::size_t kPages = 600; // more than a chunk
  constexpr std::uint64_t kGpa = 0x40000000;
  auto* const memory = static_cast<char*>(
      ::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 'x', kPages * kPage);
  for (const std::size_t page : {2U, 3U, 400U}) {
    ASSERT_EQ(::munmap(memory + page * kPage, kPage), 0);
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  MemorySource from{UniqueFd{::open("/proc/self/mem", O_RDONLY | O_CLOEXEC)}, "mem", begin + kPages * kPage};
  const MemoryChunks chunks{{{{Gpa{kGpa}, Gpa{kGpa + kPages * kPage}}, begin}}};
  const UniqueFd file{::open((dir_ / "copy").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  AvmlWriter writer{HashedStream{StreamOutput{file.get(), "copy"}, *Sha256::create()}};
  PackedCopy copy{{from, chunks, writer, unreadable_, progress_, [this] { ++ends_; }}, 2};
  const auto written = copy.run(stop_.get_token());
  ::munmap(memory, kPages * kPage);
  ASSERT_TRUE(written) << written.error().text;
  std::string expected(kPages * kPage, 'x');
  expected.replace(2 * kPage, 2 * kPage, 2 * kPage, '\0').replace(400 * kPage, kPage, kPage, '\0');
  const AvmlFile image{read_file(dir_ / "copy")};
  ASSERT_EQ(image.blocks().size(), 1U);
  EXPECT_TRUE(image.blocks()[0].memory == expected);
  EXPECT_EQ(unreadable_.listed(), (std::vector<ByteRange>{{kGpa + 2 * kPage, kGpa + 4 * kPage},
                                                          {kGpa + 400 * kPage, kGpa + 401 * kPage}}));
  EXPECT_EQ(unreadable_.bytes(), 3 * kPage);
}

TEST(MemoryChunksTest, EachRange_IsCutFromItsBegin) {
  constexpr std::uint64_t kMiB = kMemoryChunk;
  const MemoryChunks chunks{{{{Gpa{0x1000}, Gpa{0x1001}}, 32}, {{Gpa{kMiB}, Gpa{3 * kMiB + 5}}, 65}}};
  ASSERT_EQ(chunks.count(), 4U);
  EXPECT_EQ(chunks.bytes(), 2 * kMiB + 6);
  EXPECT_EQ(chunks.at(0).size, 1U);
  EXPECT_EQ(chunks.at(0).offset, 32U);
  EXPECT_EQ(chunks.at(2).begin, Gpa{2 * kMiB});
  EXPECT_EQ(chunks.at(2).offset, 65 + kMiB);
  EXPECT_EQ(chunks.at(3).size, 5U);
  EXPECT_EQ(chunks.at(3).range, (GpaRange{Gpa{kMiB}, Gpa{3 * kMiB + 5}}));
}

} // namespace
} // namespace vmemfs::test
