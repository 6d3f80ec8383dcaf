// SPDX-License-Identifier: MIT
#include "driver/decorators/forwarding_driver.h"
#include "fs/files/batch/batch_file.h"
#include "fs/tree/text_limit.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <cerrno>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1U << 20U;
using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

/// 4 MiB of RAM with a hole in the second one.
FakeOptions guest() {
  FakeOptions options;
  options.size = 4 * kMiB;
  options.holes = {GpaRange{Gpa{kMiB}, Gpa{2 * kMiB}}};
  options.bad = {GpaRange{Gpa{0x5000}, Gpa{0x6000}}};
  return options;
}

std::string pattern(std::uint64_t begin, std::size_t size) {
  std::string bytes;
  for (std::uint64_t at = begin & ~std::uint64_t{7}; at < begin + size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = fake_word(Gpa{at});
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return bytes.substr(begin % 8, size);
}

std::string raw(std::uint64_t number) { return {reinterpret_cast<const char*>(&number), sizeof number}; }

std::string binary(const Ranges& ranges) {
  std::string bytes = "VMBATCH1";
  for (const auto& [address, length] : ranges) {
    bytes += raw(address) + raw(length);
  }
  return bytes;
}

std::string entry(std::uint64_t address, std::uint32_t given, std::uint32_t status) {
  return raw(address) + raw(given | std::uint64_t{status} << 32U);
}

std::string read_all(OpenFile& file, std::uint64_t offset = 0) {
  return read_file(file, offset, 20 * kMiB)->bytes();
}

TEST(BatchFile, Binary_GivesAllBytesAndAStatusEach) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  const auto request = binary({{0x1003, 21},
                               {kMiB, 4},
                               {kMiB - 8, 16},
                               {4 * kMiB, 2},
                               {4 * kMiB - 4, 8},
                               {0x4ff0, 32},
                               {0x5800, 8},
                               {2 * kMiB, 8192},
                               {~std::uint64_t{0}, 1},
                               {0, 0}});
  ASSERT_EQ(file.write(request, 0), request.size());
  const std::string zeros(8192, '\0');
  EXPECT_EQ(read_all(file),
            pattern(0x1003, 21) + zeros.substr(0, 4) + pattern(kMiB - 8, 8) + zeros.substr(0, 8) +
                zeros.substr(0, 2) + pattern(4 * kMiB - 4, 4) + zeros.substr(0, 4) + pattern(0x4ff0, 16) +
                zeros.substr(0, 16) + zeros.substr(0, 8) + pattern(2 * kMiB, 8192) + zeros.substr(0, 1) +
                entry(0x1003, 21, 0) + entry(kMiB, 0, EIO) + entry(kMiB - 8, 8, EIO) + entry(4 * kMiB, 0, 0) +
                entry(4 * kMiB - 4, 4, 0) + entry(0x4ff0, 16, EIO) + entry(0x5800, 0, EIO) +
                entry(2 * kMiB, 8192, 0) + entry(~std::uint64_t{0}, 0, 0) + entry(0, 0, 0));
}

TEST(BatchFile, Text_GivesALineEach) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  ASSERT_EQ(file.write("0 8\n0x100000 4\n0xffffe 4\n0x400000 1\n0 0\n", 0), 40U);
  EXPECT_EQ(read_all(file), "0x0000000000000000 8 ok 315f73666d656d76\n"
                            "0x0000000000100000 0 EIO\n"
                            "0x00000000000ffffe 2 EIO 5623\n"
                            "0x0000000000400000 0 ok\n"
                            "0x0000000000000000 0 ok\n");
}

TEST(BatchFile, AnswerIsReadInParts_AndIsOneMoment) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  const auto request = binary({{0x1000, 5000}, {0x3000, 5000}});
  ASSERT_TRUE(file.write(request, 0));
  const std::string whole = read_all(file);
  ASSERT_EQ(whole.size(), 10032U);
  ASSERT_TRUE(file.write(request, 0));
  std::string parts;
  for (std::size_t at = 0; at < whole.size(); at += 97) {
    const auto part = read_file(file, at, 97)->bytes();
    EXPECT_EQ(part.size(), std::min<std::size_t>(97, whole.size() - at));
    parts += part;
    fixture.write_word(0x3000 + 8 * (at % 50), at); // what changes meanwhile is not in it
  }
  EXPECT_EQ(parts, whole);
  EXPECT_EQ(read_all(file, whole.size()), "");
  EXPECT_EQ(read_all(file, ~std::uint64_t{0}), "");
  EXPECT_NE(read_all(file), whole) << "a read from the beginning reads memory again";
}

TEST(BatchFile, ReadBehindTheWrite_IsTheBeginningToo) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  ASSERT_EQ(file.write("8 1\n", 100), 4U);
  EXPECT_EQ(read_file(file, 104, 22)->bytes(), "0x0000000000000008 1 o");
  EXPECT_THAT(read_file(file, 126, 99)->bytes(), testing::StartsWith("k "));
  EXPECT_THAT(read_file(file, 0, 99)->bytes(), testing::StartsWith("0x0000000000000008 1 ok"));
  EXPECT_THAT(read_file(file, 104, 99)->bytes(), "") << "now the answer begins at 0";
}

TEST(BatchFile, LinesThatAreWrittenOneByOne_AreOneRequestUntilItIsRead) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  ASSERT_TRUE(file.write("0 1\n", 0));
  ASSERT_TRUE(file.write("8 1\n", 4));
  EXPECT_THAT(read_file(file, 8)->bytes(), testing::MatchesRegex("0x0+ 1 ok ..\n0x0+8 1 ok ..\n"));
  ASSERT_TRUE(file.write("16 1\n", 60));
  EXPECT_THAT(read_file(file, 65)->bytes(), testing::MatchesRegex("0x0+10 1 ok ..\n"));
  ASSERT_TRUE(file.write("0 1\n", 0));
  ASSERT_TRUE(file.write("8 1\n", 0)) << "written at the same place: instead of it";
  EXPECT_THAT(read_file(file)->bytes(), testing::MatchesRegex("0x0+8 1 ok ..\n"));
}

TEST(BatchFile, ManyRanges_AreOneCallOfADriverThatIsFarAway) {
  const VmFixture fixture{guest(), {}, std::chrono::microseconds{500}};
  BatchFile file{guest_of(fixture.vm)};
  Ranges ranges;
  for (std::uint64_t i = 0; i < 500; ++i) {
    ranges.emplace_back(2 * kMiB + (i * 7919 % 500) * 4096, 4096);
  }
  ASSERT_TRUE(file.write(binary(ranges), 0));
  const auto before = fixture.metrics->metrics();
  EXPECT_EQ(read_all(file).size(), 500U * (4096 + 16));
  EXPECT_EQ(fixture.metrics->metrics().reads - before.reads, 1U);
  EXPECT_EQ(fixture.vm->guest().counters().reads.all.load(), 1U);
  EXPECT_EQ(fixture.vm->guest().counters().read_bytes.load(), 500U * 4096);
}

TEST(BatchFile, NoRequest_GivesTheUsage) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  EXPECT_EQ(read_all(file), BatchFile::kUsage);
  EXPECT_EQ(read_all(file, 10), BatchFile::kUsage.substr(10));
}

TEST(BatchFile, RefusedRequest_ReasonIsRead) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  ASSERT_TRUE(file.write("0 1\n", 0));
  const auto refused = file.write("0 x\n", 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid);
  EXPECT_EQ(read_all(file, 4), "batch: line 1: '0 x' is not an address and a length such as '0x1000 16'\n");
  EXPECT_EQ(read_all(file).substr(0, 6), "batch:");
  ASSERT_TRUE(file.write("0 1\n", 4));
  EXPECT_THAT(read_all(file, 8), HasSubstr("ok 31"));
}

TEST(BatchFile, LastLineWithoutEnd_IsCheckedByTheRead) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  ASSERT_TRUE(file.write("0 1", 0));
  EXPECT_THAT(read_all(file, 3), HasSubstr("1 ok 31\n"));
  ASSERT_TRUE(file.write("0 1\n2", 0));
  EXPECT_EQ(read_file(file, 5)->error(), ErrorKind::invalid);
  EXPECT_THAT(read_all(file, 5), HasSubstr("'2' is not an address"));
}

TEST(BatchFile, SourceFails_StatusOfThatRangeAndZeros) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  ASSERT_TRUE(file.write(binary({{0, 8}, {8, 8}}), 0));
  fixture.fault->fail_nth(FaultPoint::read, 1);
  EXPECT_EQ(read_all(file), std::string(16, '\0') + entry(0, 0, EIO) + entry(8, 0, EIO));
  EXPECT_EQ(read_all(file), pattern(0, 16) + entry(0, 8, 0) + entry(8, 8, 0));
}

TEST(BatchFile, VmGone_FailsAsAWhole) {
  const VmFixture fixture{guest()};
  BatchFile file{guest_of(fixture.vm)};
  BatchFile unused{guest_of(fixture.vm)};
  ASSERT_TRUE(file.write("0 8\n", 0));
  EXPECT_THAT(read_all(file), HasSubstr("ok"));
  fixture.fake->die();
  EXPECT_EQ(read_file(file)->error(), ErrorKind::vm_gone);
  EXPECT_EQ(read_file(file, 5)->error(), ErrorKind::vm_gone);
  EXPECT_EQ(read_file(unused)->error(), ErrorKind::vm_gone);
  EXPECT_EQ(file.write("0 8\n", 0).error().kind, ErrorKind::vm_gone);
}

TEST(BatchFile, Memory_CountsForTheLimitOfTheVm) {
  const VmFixture fixture{guest()};
  const auto& shown = fixture.vm->guest().shown_texts();
  {
    std::vector<std::unique_ptr<BatchFile>> files;
    const auto request = binary({{0, kMaxBatchBytes}});
    for (int i = 0; i < 15; ++i) {
      files.push_back(std::make_unique<BatchFile>(guest_of(fixture.vm), limit_of(fixture.vm)));
      ASSERT_TRUE(files.back()->write(request, 0));
      ASSERT_TRUE(files.back()->write("0 1\n", 0));
      ASSERT_TRUE(files.back()->write(request, 0)) << "counts once";
    }
    EXPECT_GT(shown.bytes(), 15 * kMaxBatchBytes);
    BatchFile one_more{guest_of(fixture.vm), limit_of(fixture.vm)};
    const auto refused = one_more.write(request, 0);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::no_memory);
    EXPECT_THAT(read_all(one_more), HasSubstr("close some"));
    EXPECT_TRUE(one_more.write("0 1\n", 0));
  }
  EXPECT_EQ(shown.bytes(), 0U);
}

/// Bytes that the heap has given out, large blocks included. 0 with sanitizers.
std::size_t heap_bytes() {
  const auto heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

TEST(BatchFile, EmptyRanges_TakeNoMoreThanTheLimitCounts) {
  constexpr std::size_t kFiles = 8;
  constexpr std::size_t kSmall = 256U << 10U; // what is not for the ranges
  const VmFixture fixture{guest()};
  const auto& shown = fixture.vm->guest().shown_texts();
  const auto request = binary(Ranges(kMaxBatchRanges, {0, 0}));
  const std::size_t answer = BatchAnswer::memory_for(*parse_batch(request));
  EXPECT_EQ(answer, kMaxBatchRanges * (16 + sizeof(ReadPiece)));
  std::vector<std::unique_ptr<BatchFile>> files;
  const std::size_t before = heap_bytes();
  for (std::size_t i = 0; i < kFiles; ++i) {
    files.push_back(std::make_unique<BatchFile>(guest_of(fixture.vm), limit_of(fixture.vm)));
    ASSERT_TRUE(files.back()->write(request, 0));
    EXPECT_EQ(read_all(*files.back()).size(), kMaxBatchRanges * 16);
  }
  EXPECT_LT(heap_bytes(), before + kSmall) << "answers are in memory that is counted";
  for (const auto& file : files) {
    ASSERT_TRUE(file->write(request, 0));
  }
  EXPECT_LT(heap_bytes() + kFiles * answer, before + kSmall + shown.bytes()) << "and so are requests";
  EXPECT_LT(shown.bytes(), kFiles * (answer + kMaxBatchRanges * sizeof(BatchRange) + kSmall));
}

TEST(BatchFile, Open_CountsAsViewUntilClosed) {
  const VmFixture fixture{guest()};
  {
    const BatchFile file{guest_of(fixture.vm)};
    EXPECT_TRUE(fixture.vm->run_state().in_use());
  }
  EXPECT_FALSE(fixture.vm->run_state().in_use());
}

} // namespace
} // namespace vmemfs::test
