// SPDX-License-Identifier: MIT
// Compressed AVML images. The snappy streams of the file `avml` were written by another program, the package
// snappy-stream of npm: [0x1000, 0x12940) has the words 0, 1, 2, ..., in two packed chunks; a page at
// 0x100000 is noise, in a plain chunk.
#include "image_bytes.h"

#include <array>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kBegin = 0x1000;
constexpr std::uint64_t kEnd = kBegin + 72000;
constexpr std::uint64_t kNoise = 0x100000;
/// Offsets in the file.
constexpr std::size_t kFirstChunk = 0x2a;
constexpr std::size_t kSecondChunk = 0x804d;
constexpr std::size_t kSecondRange = 0x8d0c;

std::string avml() {
  std::ifstream file{std::string{VMEMFS_SOURCE_DIR} + "/tests/fuzz/corpus/dump_image/avml", std::ios::binary};
  return {std::istreambuf_iterator{file}, {}};
}

class AvmlImage : public testing::Test {
protected:
  Result<SavedImage> open(const std::string& bytes) {
    write_file(dir_ / "image", bytes);
    file_ = SavedFile::open(dir_ / "image");
    return file_ ? open_image(*file_, {}) : tl::unexpected{file_.error()};
  }
  /// The word at an address; nullopt: it cannot be read.
  std::optional<std::uint64_t> word(const SavedImage& image, std::uint64_t gpa) {
    std::uint64_t value = 0;
    const auto bytes = std::as_writable_bytes(std::span{&value, 1});
    const auto done = image.decoder->read(*file_, Gpa{gpa}, bytes);
    return done == bytes.size() ? std::optional{value} : std::nullopt;
  }

  const TempDir dir_;
  Result<SavedFile> file_ = fail(ErrorKind::invalid, "test", "not opened");
};

TEST_F(AvmlImage, OfAnotherProgram_IsRead) {
  const auto image = open(avml());
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->description, "AVML image");
  EXPECT_EQ(image->problem, "");
  ASSERT_EQ(image->extents.size(), 2U);
  EXPECT_EQ(image->extents[0].range, (GpaRange{Gpa{kBegin}, Gpa{kEnd}}));
  EXPECT_EQ(image->extents[1].range, (GpaRange{Gpa{kNoise}, Gpa{kNoise + 4096}}));
  std::vector<std::uint64_t> words(9000);
  const auto done = image->decoder->read(*file_, Gpa{kBegin}, std::as_writable_bytes(std::span{words}));
  EXPECT_EQ(done, 72000U) << "over the border of two chunks";
  for (std::uint64_t i = 0; i < words.size(); ++i) {
    ASSERT_EQ(words[i], i);
  }
  EXPECT_EQ(word(*image, kBegin + 65536), 8192U);
  EXPECT_EQ(word(*image, kNoise), 0x987ab3ff9c0b346e) << "SHA-256 of a byte of zero";
  EXPECT_EQ(word(*image, kEnd), std::nullopt);
}

TEST_F(AvmlImage, CutAnywhere_GivesWhatIsThere) {
  const std::string whole = avml();
  for (std::size_t size = kFirstChunk + 1; size < whole.size(); size += size % 1000 < 50 ? 1 : 97) {
    const auto image = open(whole.substr(0, size));
    if (size == kSecondRange) {
      EXPECT_EQ(image->problem, "") << "nothing tells that there is more";
      continue;
    }
    if (!image) {
      EXPECT_LT(size, kSecondChunk);
      continue;
    }
    EXPECT_NE(image->problem, "") << size;
    EXPECT_EQ(word(*image, kBegin + 8) == 1U, size >= kSecondChunk) << size;
    EXPECT_EQ(word(*image, kBegin + 65536) == 8192U, size >= kSecondRange - 8) << size;
  }
}

TEST_F(AvmlImage, ByteChangedInAChunk_IsNotGiven) {
  for (const std::size_t offset : {kFirstChunk + 5, kFirstChunk + 300, kSecondRange + 100}) {
    std::string bytes = avml();
    bytes[offset] = static_cast<char>(bytes[offset] ^ 0x10);
    const auto image = open(bytes);
    ASSERT_TRUE(image) << offset;
    const std::uint64_t damaged = offset < kSecondChunk ? kBegin : kNoise;
    EXPECT_EQ(word(*image, damaged), std::nullopt) << offset;
    EXPECT_EQ(word(*image, kBegin + 65536), 8192U) << "the other chunks are whole";
  }
}

TEST_F(AvmlImage, DamagedStructure_IsReported) {
  const auto with = [](std::size_t offset, std::uint64_t value, std::size_t size) {
    return avml().replace(offset, size, number(value, size));
  };
  struct Damage {
    const char* what;
    std::string bytes;
    const char* problem;
  };
  for (const Damage& damage : std::initializer_list<Damage>{
           {"version", with(kSecondRange + 4, 1, 4), "no AVML header at offset 0x8d0c"},
           {"reserved", with(kSecondRange + 24, 1, 8), "no AVML header"},
           {"range below", with(kSecondRange + 8, 0x2000, 8), "no AVML header"},
           {"range backwards", with(kSecondRange + 16, kNoise - 1, 8), "no AVML header"},
           {"range without end", with(kSecondRange + 16, ~std::uint64_t{0}, 8), "no AVML header"},
           {"type of a chunk", with(kSecondChunk, 2, 1), "memory from 0x11000 on is missing"},
           {"chunk of nothing", with(kSecondChunk + 1, 4, 3), "memory from 0x11000 on is missing"},
           {"chunk of 16 MiB", with(kSecondChunk + 1, 0xffffff, 3), "memory from 0x11000 on is missing"},
           {"more than the range", with(16, kBegin + 100, 8), "memory from 0x1000 on is missing"},
           {"length", with(kSecondRange - 8, 5, 8), "is not that of the range before"}}) {
    const auto image = open(damage.bytes);
    if (image) {
      EXPECT_THAT(image->problem, HasSubstr(damage.problem)) << damage.what;
    } else {
      EXPECT_STREQ(damage.what, "more than the range");
    }
  }
}

std::string header(std::uint64_t first, std::uint64_t last) {
  return number(0x4c4d5641, 4) + number(2, 4) + number(first, 8) + number(last, 8) + number(0, 8);
}

TEST_F(AvmlImage, EndlessChunksWithoutMemory_AreRefused) {
  std::string bytes = header(0, 0xffff);
  for (std::size_t i = 0; i < 300'000; ++i) {
    bytes += number(0x80, 4);
  }
  const auto image = open(bytes);
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().text, HasSubstr("more than"));
}

TEST_F(AvmlImage, TinyChunks_AreDamage) {
  std::string bytes = header(0, 0xffff);
  for (std::size_t i = 0; i < 100; ++i) {
    bytes += number(0x501, 4) + number(0, 4) + "x";
  }
  const auto image = open(bytes);
  ASSERT_TRUE(image);
  EXPECT_THAT(image->problem, HasSubstr("memory from 0x0 on is missing"));
}

TEST_F(AvmlImage, TwoImagesInOneThread_AreNotMixedUp) {
  const auto first = open(avml());
  ASSERT_TRUE(first);
  EXPECT_EQ(word(*first, kBegin + 8), 1U);
  const std::string other = header(kBegin, kBegin + 0xfff) + avml().substr(kSecondRange + 32);
  const auto second = open(other); // its chunk is at the same offset
  ASSERT_TRUE(second);
  EXPECT_EQ(word(*second, kBegin), 0x987ab3ff9c0b346e);
}

} // namespace
} // namespace vmemfs::test
