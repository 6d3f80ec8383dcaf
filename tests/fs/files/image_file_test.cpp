// SPDX-License-Identifier: MIT
#include "fs/files/image_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kHeader = 32;
constexpr std::size_t kMaxRead = AddressSpace::kMaxRead;

/// 4 MiB of RAM with a hole in the second one.
FakeOptions guest() {
  FakeOptions options;
  options.size = 4 * kMiB;
  options.holes = {GpaRange{Gpa{kMiB}, Gpa{2 * kMiB}}};
  return options;
}

std::string number(std::uint64_t value, std::size_t bytes = 8) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) {
    text.push_back(static_cast<char>(value >> (8 * i)));
  }
  return text;
}

std::string header(std::uint64_t begin, std::uint64_t end) {
  return "EMiL" + number(1, 4) + number(begin) + number(end - 1) + number(0);
}

std::string pattern(std::uint64_t begin, std::uint64_t end) {
  std::string bytes;
  for (std::uint64_t at = begin; at < end; at += sizeof(std::uint64_t)) {
    bytes += number(fake_word(Gpa{at}));
  }
  return bytes;
}

/// The whole image of guest().
std::string image() {
  return header(0, kMiB) + pattern(0, kMiB) + header(2 * kMiB, 4 * kMiB) + pattern(2 * kMiB, 4 * kMiB);
}

std::string read_all(OpenFile& file, std::size_t step) {
  std::string all;
  for (;;) {
    const auto answer = read_file(file, all.size(), step);
    EXPECT_FALSE(answer->error()) << all.size();
    if (answer->bytes().empty()) {
      return all;
    }
    all += answer->bytes();
  }
}

std::uint64_t seek(OpenFile& file, std::uint64_t offset, int whence) {
  return answer_to([&](Reply& reply) { file.seek(reply, offset, whence); })->number();
}

struct LimeFile : testing::Test {
  VmFixture fixture{guest()};
  ImageFile file{guest_of(fixture.vm), lime_format()};
};

TEST_F(LimeFile, Read_AnySize_IsTheImage) {
  const std::string expected = image();
  EXPECT_EQ(lime_format().bytes(fixture.vm->guest()), expected.size());
  for (const std::size_t step : {std::size_t{4096}, std::size_t{100'003}, kMaxRead}) {
    EXPECT_TRUE(read_all(file, step) == expected) << step;
  }
}

TEST_F(LimeFile, Read_OverAHeader_IsOneAnswer) {
  const std::string expected = image();
  const std::uint64_t at = kHeader + kMiB - 8;
  EXPECT_EQ(read_file(file, at, 8 + kHeader + 8)->bytes(), expected.substr(at, 8 + kHeader + 8));
  EXPECT_EQ(read_file(file, at + 4, 8)->bytes(), expected.substr(at + 4, 8));
  EXPECT_EQ(read_file(file, 4, 4)->bytes(), expected.substr(4, 4));
  EXPECT_EQ(read_file(file, expected.size() - 3, 100)->bytes(), expected.substr(expected.size() - 3));
  EXPECT_EQ(read_file(file, expected.size(), 100)->bytes(), "");
  EXPECT_EQ(read_file(file, ~std::uint64_t{0}, 100)->bytes(), "");
}

TEST_F(LimeFile, Read_BadPage_ZerosAndCounted) {
  fixture.fake->set_bad({GpaRange{Gpa{0x5000}, Gpa{0x6000}}});
  std::string expected = image().substr(0, 0x8000);
  std::fill_n(expected.begin() + kHeader + 0x5000, 0x1000, '\0');
  EXPECT_TRUE(read_file(file, 0, 0x8000)->bytes() == expected);
  EXPECT_EQ(fixture.vm->guest().memory().bad_pages().listed().size(), 1U);
}

TEST_F(LimeFile, Read_SourceFails_ErrorNeverZeros) {
  const auto failing = [&](std::uint64_t offset, bool for_mapping = false) {
    fixture.fault->fail_nth(FaultPoint::read, 1);
    return read_file(file, offset, 4096, for_mapping);
  };
  EXPECT_EQ(failing(kHeader + 0x1000)->error(), ErrorKind::source_failed);
  EXPECT_EQ(failing(0)->bytes(), header(0, kMiB)) << "what comes before it is given";
  EXPECT_EQ(failing(0, true)->error(), ErrorKind::source_failed) << "not to a mapping";
}

TEST_F(LimeFile, Read_RangeIsGone_ErrorAndLayoutStays) {
  const std::string expected = image();
  fixture.fake->change_layout({GpaRange{Gpa{kMiB}, Gpa{3 * kMiB}}});
  EXPECT_EQ(read_file(file, kHeader + kMiB + kHeader)->error(), ErrorKind::source_failed);
  EXPECT_EQ(read_file(file, kHeader + kMiB, 4096)->bytes(), header(2 * kMiB, 4 * kMiB));
  const std::uint64_t there = 2 * kHeader + 2 * kMiB;
  EXPECT_TRUE(read_file(file, there, 4096)->bytes() == expected.substr(there, 4096));
  EXPECT_EQ(seek(file, kHeader + kMiB + kHeader, SEEK_DATA), kHeader + kMiB + kHeader)
      << "a reader that asks for holes must not take it for one";

  ImageFile now{guest_of(fixture.vm), lime_format()};
  EXPECT_EQ(read_file(now, kHeader + kMiB, kHeader)->bytes(), header(3 * kMiB, 4 * kMiB));
}

TEST_F(LimeFile, Read_EndOfMemoryIsGone_Error) {
  fixture.fake->change_layout({GpaRange{Gpa{kMiB}, Gpa{4 * kMiB}}});
  EXPECT_EQ(read_file(file, 2 * kHeader + 2 * kMiB)->error(), ErrorKind::source_failed);
}

TEST_F(LimeFile, VmGone_HeadersToo) {
  fixture.fake->die();
  EXPECT_EQ(read_file(file, 0, 4)->error(), ErrorKind::vm_gone);
  EXPECT_EQ(read_file(file, kHeader + 8)->error(), ErrorKind::vm_gone);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_DATA); })->error(), ErrorKind::vm_gone);
}

TEST_F(LimeFile, Seek_AllIsDataUpToTheEnd) {
  const std::uint64_t size = image().size();
  EXPECT_EQ(seek(file, 0, SEEK_DATA), 0U);
  EXPECT_EQ(seek(file, kHeader + kMiB + 5, SEEK_DATA), kHeader + kMiB + 5);
  EXPECT_EQ(seek(file, 7, SEEK_HOLE), size);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, size, SEEK_HOLE); })->error(),
            ErrorKind::past_end);
}

TEST_F(LimeFile, Write_Refused) { EXPECT_EQ(file.write("x", 0).error().kind, ErrorKind::read_only); }

TEST_F(LimeFile, Open_CountsAsView) { EXPECT_TRUE(fixture.vm->run_state().in_use()); }

/// A reply to the kernel cannot have any number of pieces.
TEST(LimeFileOfManyRanges, Read_ManySmallRanges_IsShort) {
  FakeOptions options;
  options.size = 4 * kMiB;
  std::string expected;
  for (std::uint64_t at = 0; at < options.size; at += 2 * kPageSize) {
    expected += header(at, at + kPageSize) + pattern(at, at + kPageSize);
    options.holes.push_back({Gpa{at + kPageSize}, Gpa{at + 2 * kPageSize}});
  }
  const VmFixture fixture{options};
  ImageFile file{guest_of(fixture.vm), lime_format()};
  EXPECT_EQ(read_file(file, 0, kMaxRead)->bytes().size(), ImageView::kMaxParts / 2 * (kHeader + kPageSize));
  EXPECT_TRUE(read_all(file, kMaxRead) == expected);
  EXPECT_EQ(read_file(file, 0, 32 * kPageSize, true)->bytes().size(), 32 * kPageSize) << "as for a mapping";
}

/// Paused, so that prefetching and the page cache take part.
TEST(LimeFilePaused, SequentialReads_AreTheImage) {
  const std::string expected = image();
  for (const CacheMode mode : {CacheMode::automatic, CacheMode::on}) {
    VmFixture fixture{guest()};
    ASSERT_TRUE(fixture.vm->run_state().pause());
    ASSERT_TRUE(fixture.vm->cache().change([mode](CacheSettings& settings) { settings.mode = mode; }));
    ImageFile file{guest_of(fixture.vm), lime_format()};
    EXPECT_TRUE(read_all(file, 256 * 1024) == expected);
    EXPECT_TRUE(read_all(file, kMaxRead) == expected);
  }
}

} // namespace
} // namespace vmemfs::test
