// SPDX-License-Identifier: MIT
#include "image_bytes.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kPages = 4 * kBlock; ///< offset of the page descriptors

std::string block(std::string content) {
  content.resize(kBlock, '\0');
  return content;
}

/// Pages 0 to 3 exist, of which 1 and 3 are stored, plain.
std::string kdump() {
  const std::string header = block("KDUMP   " + number(6, 4) + std::string(416, '\0') + number(kBlock, 4) +
                                   number(1, 4) + number(2, 4) + number(16, 4));
  const std::string sub = block(std::string(96, '\0') + number(16, 8));
  const auto descriptor = [](std::size_t page) {
    return number(kPages + 48 + page * kBlock, 8) + number(kBlock, 4) + number(0, 4) + number(0, 8);
  };
  return header + sub + block("\x0f") + block("\x0a") + descriptor(0) + descriptor(1) +
         std::string(kBlock, 'a') + std::string(kBlock, 'b');
}

std::string flattened(const std::string& file) {
  std::string bytes = block(std::string("makedumpfile\0\0\0\0", 16));
  const auto big = [](std::uint64_t value) { return number(__builtin_bswap64(value), 8); };
  // The later half is first, then all of it, so that records come out of order and overlap.
  const std::size_t half = file.size() / 2;
  bytes += big(half) + big(file.size() - half) + std::string(file.size() - half, 'x');
  bytes += big(0) + big(file.size()) + file;
  return bytes + big(~std::uint64_t{0}) + big(~std::uint64_t{0});
}

void expect_pages(const std::string& bytes) {
  const TempDir dir;
  write_file(dir / "image", bytes);
  const auto file = SavedFile::open(dir / "image");
  ASSERT_TRUE(file);
  const auto image = open_image(*file, "kdump");
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->problem, "");
  ASSERT_EQ(image->extents.size(), 1U);
  EXPECT_EQ(image->extents[0].range, (GpaRange{Gpa{0}, Gpa{4 * kBlock}}));
  std::vector<std::byte> page(kBlock);
  EXPECT_EQ(image->decoder->read(*file, Gpa{kBlock}, page), kBlock);
  EXPECT_EQ(page[0], std::byte{'a'});
  EXPECT_EQ(image->decoder->read(*file, Gpa{4 * kBlock - 1}, std::span{page}.first(1)), 1U);
  EXPECT_EQ(page[0], std::byte{'b'});
  EXPECT_EQ(image->decoder->read(*file, Gpa{kBlock + 1}, page), kBlock - 1)
      << "up to a page that was left out";
  EXPECT_EQ(image->decoder->read(*file, Gpa{0}, page), tl::unexpected{ErrorKind::bad_page});
}

TEST(KdumpImage, PagesThatWereLeftOut_AreAbsent) { expect_pages(kdump()); }

TEST(KdumpImage, Flattened_LaterRecordsCount) { expect_pages(flattened(kdump())); }

TEST(KdumpImage, CutAnywhere_OpensOrSaysWhy) {
  const std::string whole = kdump();
  for (std::size_t size = 8; size < whole.size(); size += 97) {
    const auto image = open_bytes(std::string_view{whole}.substr(0, size));
    if (image) {
      EXPECT_THAT(image->problem, HasSubstr("cut off")) << size;
    } else {
      EXPECT_THAT(image.error().text, HasSubstr("cut off within its")) << size;
    }
  }
}

TEST(KdumpImage, HostileHeaders_AreRefused) {
  const auto with = [](std::size_t offset, std::uint64_t value, std::size_t size) {
    return kdump().replace(offset, size, number(value, size));
  };
  EXPECT_FALSE(open_bytes(with(8, 7, 4))) << "version";
  EXPECT_FALSE(open_bytes(with(428, std::uint64_t{1} << 30, 4))) << "size of a page";
  EXPECT_FALSE(open_bytes(with(428, 0, 4))) << "size of a page";
  EXPECT_FALSE(open_bytes(with(432, 0xffffffff, 4))) << "size of the second header";
  EXPECT_FALSE(open_bytes(with(432, 0x7fffffff, 4))) << "size of the second header";
  EXPECT_FALSE(open_bytes(with(436, 0, 4))) << "size of the bitmaps";
  EXPECT_FALSE(open_bytes(with(436, 0xfffffffe, 4))) << "size of the bitmaps";
  EXPECT_FALSE(open_bytes(with(kBlock + 96, ~std::uint64_t{0}, 8))) << "number of pages";
}

TEST(KdumpImage, FlattenedWithEndlessEmptyRecords_IsRefused) {
  const TempDir dir;
  write_file(dir / "image", block(std::string("makedumpfile\0\0\0\0", 16)));
  std::filesystem::resize_file(dir / "image", std::uint64_t{1} << 40); // sparse
  const auto file = SavedFile::open(dir / "image");
  ASSERT_TRUE(file);
  const auto image = open_image(*file, "kdump");
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().text, HasSubstr("has more than"));
}

} // namespace
} // namespace vmemfs::test
