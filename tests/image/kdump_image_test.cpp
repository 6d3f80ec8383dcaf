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

// ---- split

/// A part of kdump() as makedumpfile writes it: all bitmaps, but only its own pages, packed from 48 bytes on.
std::string part(std::uint64_t begin, std::uint64_t end, char page) {
  std::string file = kdump();
  file = with(with(with(file, kBlock + 12, 1, 4), kBlock + 80, begin, 8), kBlock + 88, end, 8);
  return file.substr(0, kPages) + number(kPages + 24, 8) + number(kBlock, 4) + number(0, 4) + number(0, 8) +
         std::string(kBlock, page);
}

char first_byte(const SavedFile& file, const SavedImage& image, std::uint64_t page) {
  std::vector<std::byte> bytes(1);
  return image.decoder->read(file, Gpa{page * kBlock}, bytes) ? std::to_integer<char>(bytes[0]) : '-';
}

TEST(KdumpImage, Split_PartsAreFoundBesideEachOther) {
  const TempDir dir;
  write_file(dir / "x1", part(0, 2, 'a'));
  write_file(dir / "x2", part(2, 16, 'b'));
  write_file(dir / "x2.copy", part(2, 16, 'c'));
  write_file(dir / "other", with(part(2, 16, 'd'), 2 * kBlock, 0xff, 1)); // has another bitmap
  for (const std::string name : {"x1", "x2"}) {
    const auto file = SavedFile::open(dir / name);
    ASSERT_TRUE(file);
    const auto image = open_image(*file, "");
    ASSERT_TRUE(image) << image.error().text;
    EXPECT_EQ(image->problem, "") << name;
    EXPECT_EQ(image->description, "split kdump file in 2 parts") << name;
    EXPECT_EQ(first_byte(*file, *image, 1), 'a') << name;
    EXPECT_EQ(first_byte(*file, *image, 3), 'b') << name;
    EXPECT_EQ(first_byte(*file, *image, 2), '-') << "was left out";
  }
}

TEST(KdumpImage, SplitWithoutItsOtherPart_HasBadPagesAndSaysWhich) {
  const TempDir dir;
  write_file(dir / "x1", part(0, 2, 'a'));
  std::filesystem::create_symlink("/etc/passwd", dir / "x2");
  const auto file = SavedFile::open(dir / "x1");
  ASSERT_TRUE(file);
  const auto image = open_image(*file, "");
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_THAT(image->problem, HasSubstr("the pages from 0x2000 on is not in its directory"));
  EXPECT_EQ(first_byte(*file, *image, 1), 'a');
  EXPECT_EQ(first_byte(*file, *image, 3), '-');
}

TEST(KdumpImage, SplitWithPagesBeyondAll_IsRefused) {
  EXPECT_FALSE(open_bytes(part(0, 17, 'a')));
  EXPECT_FALSE(open_bytes(part(3, 2, 'a')));
}

// ---- 32-bit

/// As kdump(), with the headers of a 32-bit machine. `aligned`: as on ARM; QEMU does not.
std::string kdump_32(bool aligned) {
  const std::string header =
      block("KDUMP   " + number(6, 4) + std::string(390, '\0') + std::string(14, '\0') + number(kBlock, 4) +
            number(1, 4) + number(2, 4) + number(16, 4));
  const std::string notes = number(kBlock + 200, 8) + number(20, 4);
  const std::string sub = aligned ? std::string(40, '\0') + notes + std::string(36, '\0') + number(16, 8)
                                  : std::string(32, '\0') + notes + std::string(28, '\0') + number(16, 8);
  return header + block(sub) + kdump().substr(2 * kBlock);
}

TEST(KdumpImage, Of32BitMachine_BothLayoutsAreRead) {
  expect_pages(kdump_32(false));
  expect_pages(kdump_32(true));
}

/// A number of pages that could be a size of pages at the place of the 64-bit header.
TEST(KdumpImage, Of32BitMachineWithRoundSize_IsNotTakenFor64Bit) {
  std::string file = with(kdump_32(false), 428, 0x8000, 4);
  expect_pages(file);
}

/// As kdump(), of a machine with this name, with a note behind all.
std::string kdump_of(const std::string& machine, std::size_t note_size) {
  std::string file = kdump();
  const std::string notes = note("CORE", 1, std::string(note_size, '\1'));
  file = with(with(file, kBlock + 48, file.size(), 8), kBlock + 56, notes.size(), 8);
  constexpr std::size_t kMachine = 12 + 4 * 65; // the fifth text of struct new_utsname
  return file.replace(kMachine, machine.size(), machine) + notes;
}

std::string architecture_of(const std::string& machine, std::size_t note_size) {
  const auto image = open_bytes(kdump_of(machine, note_size));
  return !image                     ? image.error().text
         : image->registers.empty() ? "none"
                                    : std::string{image->registers[0].layout().architecture};
}

/// A note of another machine is as long or longer, and has other registers.
TEST(KdumpImage, Registers_AreThoseOfTheMachineInTheHeader) {
  EXPECT_EQ(architecture_of("x86_64", 336), "x86_64");
  EXPECT_EQ(architecture_of("", 336), "x86_64");
  EXPECT_EQ(architecture_of("aarch64", 392), "aarch64");
  EXPECT_EQ(architecture_of("riscv64", 376), "riscv64");
  EXPECT_EQ(architecture_of("Unknown", 376), "riscv64") << "QEMU's";
  EXPECT_EQ(architecture_of("Unknown", 480), "none");
  EXPECT_EQ(architecture_of("ppc64le", 504), "none");
  EXPECT_EQ(architecture_of("loongarch64", 480), "none");
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
