// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "windows_dump.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using x86_64::Register;

/// An opened image with its file.
class Dump {
public:
  explicit Dump(const std::string& bytes) {
    write_file(dir_ / "image", bytes);
    auto file = SavedFile::open(dir_ / "image");
    if (file) {
      file_ = std::move(*file);
      image = open_image(*file_, "windows");
    }
  }

  /// The letter in a page, with as much of it as there is; '?': a bad page.
  char at(std::uint64_t gpa) {
    std::byte letter{};
    const auto count = image->decoder->read(*file_, Gpa{gpa}, {&letter, 1});
    return count == 1U ? static_cast<char>(letter) : '?';
  }
  std::size_t bytes_at(std::uint64_t gpa, std::size_t size) {
    std::vector<std::byte> bytes(size);
    return image->decoder->read(*file_, Gpa{gpa}, bytes).value_or(0);
  }

private:
  TempDir dir_;
  std::optional<SavedFile> file_;

public:
  Result<SavedImage> image = fail(ErrorKind::invalid, "test", "not opened");
};

Extent packed(std::uint64_t begin, std::uint64_t end) {
  return {{Gpa{begin}, Gpa{end}}, ExtentKind::packed, begin};
}

TEST(WindowsImage, Complete_RunsFollowOneAnother) {
  const auto image = open_bytes(complete_dump());
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->description, "Windows crash dump (complete memory)");
  EXPECT_THAT(image->extents,
              ElementsAre(stored(0x1000, 0x3000, 0x2000), stored(0x100000, 0x101000, 0x4000)));
  EXPECT_EQ(image->first_missing, std::nullopt);
}

TEST(WindowsImage, Context_GivesRegistersAndNothingElse) {
  const auto image = open_bytes(complete_dump());
  ASSERT_TRUE(image);
  ASSERT_EQ(image->registers.size(), 1U) << "the header has one CONTEXT, however many CPUs";
  const RegisterSet& set = image->registers[0];
  EXPECT_EQ(set.get(Register::rip), 0xfffff80312345678);
  EXPECT_EQ(set.get(Register::rsp), 0xfffff80000001000);
  EXPECT_EQ(set.get(Register::rax), 0x1234U);
  EXPECT_EQ(set.get(Register::cs_selector), 0x10U);
  EXPECT_EQ(set.get(Register::cr3), 0x1ad002U);
  EXPECT_EQ(set.get(Register::cr0), std::nullopt);
  EXPECT_EQ(set.get(Register::cr4), std::nullopt);
  EXPECT_EQ(set.get(Register::efer), std::nullopt);
  EXPECT_THAT(image->registers_from, HasSubstr("DirectoryTableBase"));
}

TEST(WindowsImage, ContextWithFewParts_HasOnlyThese) {
  const auto image = open_bytes(with(complete_dump(), 0x378, 0x100001, 4));
  ASSERT_TRUE(image);
  EXPECT_TRUE(image->registers.at(0).get(Register::rip));
  EXPECT_EQ(image->registers.at(0).get(Register::rax), std::nullopt);
}

TEST(WindowsImage, NoContext_RootOfPageTablesStays) {
  const auto image = open_bytes(with(complete_dump(), 0x378, 0x45474150, 4));
  ASSERT_TRUE(image);
  ASSERT_EQ(image->registers.size(), 1U);
  EXPECT_EQ(image->registers[0].get(Register::cr3), 0x1ad002U);
  EXPECT_EQ(image->registers[0].get(Register::rip), std::nullopt);
}

TEST(WindowsImage, NeitherContextNorRootOrAnotherMachine_NoRegisters) {
  const std::string none = with(with(complete_dump(), 0x378, 0, 4), 0x10, 0x4547415045474150, 8);
  for (const std::string& bytes : {none, with(complete_dump(), 0x30, 0xaa64, 4)}) {
    const auto image = open_bytes(bytes);
    ASSERT_TRUE(image);
    EXPECT_TRUE(image->registers.empty());
  }
}

TEST(WindowsImage, Bitmap_PagesInOrderOfBits) {
  for (const std::uint32_t type : {2U, 5U, 6U}) {
    Dump dump{bitmap_dump(type, {}, type == 5 ? "FDMPDUMP" : "SDMPDUMP")};
    ASSERT_TRUE(dump.image) << dump.image.error().text;
    EXPECT_THAT(dump.image->extents,
                ElementsAre(packed(0x1000, 0x2000), packed(0x3000, 0x4000), packed(0x8000, 0x9000)));
    EXPECT_EQ(dump.at(0x1000), 'a');
    EXPECT_EQ(dump.at(0x3fff), 'b');
    EXPECT_EQ(dump.at(0x8000), 'c');
    EXPECT_EQ(dump.image->first_missing, std::nullopt);
  }
}

TEST(WindowsImage, BitmapWithinRuns_PagesNotStoredAreBad) {
  Dump dump{bitmap_dump(2, {{1, 4}})};
  ASSERT_TRUE(dump.image) << dump.image.error().text;
  EXPECT_THAT(dump.image->extents, ElementsAre(packed(0x1000, 0x5000), packed(0x8000, 0x9000)));
  EXPECT_EQ(dump.at(0x2000), '?');
  EXPECT_EQ(dump.at(0x3000), 'b');
  EXPECT_EQ(dump.bytes_at(0x1800, 0x4000), 0x800U) << "up to a page that was left out";
  EXPECT_EQ(dump.at(0x8000), 'c') << "stored, but in no run";
}

TEST(WindowsImage, NewKernelDump_HasBitmapUpToFirstPage) {
  for (const std::uint32_t type : {8U, 9U}) {
    Dump dump{crash_header(type, {}) + new_header(0, 0, "\x06\x80") + pages("abc")};
    ASSERT_TRUE(dump.image) << dump.image.error().text;
    EXPECT_THAT(dump.image->extents, ElementsAre(packed(0x1000, 0x3000), packed(0xf000, 0x10000)));
    EXPECT_EQ(dump.at(0x2000), 'b');
    EXPECT_EQ(dump.at(0xf000), 'c');
    EXPECT_EQ(dump.bytes_at(0x1000, 0x2000), 0x2000U);
  }
}

TEST(WindowsImage, NewCompleteDump_HasListOfRuns) {
  const std::string table = number(4, 8) + number(2, 8) + number(0x100, 8) + number(1, 8);
  const std::string bytes = crash_header(10, {}) + new_header(2, 3, table) + pages("abc");
  const auto image = open_bytes(bytes);
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_THAT(image->extents,
              ElementsAre(stored(0x4000, 0x6000, 0x3000), stored(0x100000, 0x101000, 0x5000)));
  EXPECT_FALSE(open_bytes(with(bytes, 0x2020, 0xfe, 4))) << "one run more than fit";
  EXPECT_FALSE(open_bytes(with(bytes, 0x2020, 0xffffffff, 4))) << "number of runs";
  EXPECT_FALSE(open_bytes(with(bytes, 0x2030, ~0ULL, 8))) << "first page of a run";
  EXPECT_FALSE(open_bytes(with(bytes, 0x2038, ~0ULL, 8))) << "size of a run";
  EXPECT_FALSE(open_bytes(with(bytes, 0x2018, 0x2000, 8))) << "first page within the headers";
  EXPECT_FALSE(open_bytes(with(bytes, 0x2010, 0, 8))) << "size of the second header";
  EXPECT_FALSE(open_bytes(with(bytes, 0x2004, 0, 4))) << "its signature";
}

TEST(WindowsImage, CutAnywhere_OpensOrSaysWhy) {
  for (const std::string& whole : {complete_dump(), bitmap_dump(2, {}), bitmap_dump(5, {{1, 8}})}) {
    const std::size_t first = whole.size() - 3 * kCrashPage;
    for (std::size_t size = 8; size < whole.size(); size += size < first ? 499 : 97) {
      const auto image = open_bytes(std::string_view{whole}.substr(0, size));
      const std::uint64_t there = size < first ? 0 : size - first;
      const std::uint64_t gpas[] = {0x1000, first == 0x2000 ? 0x2000U : 0x3000U,
                                    first == 0x2000 ? 0x100000U : 0x8000U};
      if (image) {
        EXPECT_EQ(image->first_missing, Gpa{gpas[there / kCrashPage] + there % kCrashPage}) << size;
      } else {
        EXPECT_LT(size, first);
        EXPECT_THAT(image.error().text, HasSubstr("is cut off within its")) << size;
      }
    }
  }
}

TEST(WindowsImage, CutBitmapDump_MissingPagesAreBad) {
  const std::string whole = bitmap_dump(2, {});
  Dump dump{whole.substr(0, 0x4800)};
  ASSERT_TRUE(dump.image) << dump.image.error().text;
  EXPECT_EQ(dump.at(0x1000), 'a');
  EXPECT_EQ(dump.at(0x37ff), 'b');
  EXPECT_EQ(dump.at(0x3800), '?');
  EXPECT_EQ(dump.at(0x8000), '?');
}

TEST(WindowsImage, HostileRuns_AreRefused) {
  const std::string good = complete_dump();
  EXPECT_FALSE(open_bytes(with(good, 0x88, 0, 4))) << "no runs";
  EXPECT_FALSE(open_bytes(with(good, 0x88, 44, 4))) << "one run more than fit";
  EXPECT_FALSE(open_bytes(with(good, 0x88, 0xffffffff, 4))) << "number of runs";
  EXPECT_FALSE(open_bytes(with(good, 0x98, ~0ULL, 8))) << "first page of a run";
  EXPECT_FALSE(open_bytes(with(good, 0x98, 1ULL << 52U, 8))) << "an address that wraps to 0";
  EXPECT_FALSE(open_bytes(with(good, 0xa0, 1ULL << 52U, 8))) << "a size that wraps to 0";
  EXPECT_FALSE(open_bytes(with(with(good, 0xa0, (1ULL << 40U) - 1, 8), 0xb0, 2, 8)))
      << "a sum beyond all memory";
}

TEST(WindowsImage, HostileBitmaps_AreRefused) {
  const std::string good = bitmap_dump(2, {{1, 8}});
  EXPECT_FALSE(open_bytes(with(good, 0x2030, 0, 8))) << "no bits";
  EXPECT_FALSE(open_bytes(with(good, 0x2030, ~0ULL, 8))) << "number of bits";
  EXPECT_FALSE(open_bytes(with(good, 0x2030, 1U << 30U, 8))) << "more bits than the file has";
  EXPECT_FALSE(open_bytes(with(good, 0x2020, 0x2039, 8))) << "first page within the bitmap";
  EXPECT_FALSE(open_bytes(with(good, 0x2020, ~0ULL - 0xfff, 8))) << "first page beyond all files";
  EXPECT_FALSE(open_bytes(with(good, 0x98, ~0ULL, 8))) << "first page of a run";
  EXPECT_FALSE(open_bytes(with(good, 0xa0, ~0ULL, 8))) << "size of a run";
}

TEST(WindowsImage, OtherKinds_AreRefusedWithTheReason) {
  const auto reason = [](const std::string& bytes) {
    const auto image = open_bytes(bytes);
    return image ? "opened as " + image->description : image.error().text;
  };
  EXPECT_THAT(reason(crash_header(4, {{1, 2}}) + pages("ab")), HasSubstr("minidump"));
  EXPECT_THAT(reason(crash_header(2, {{1, 2}}) + pages("ab")), HasSubstr("Windows 7"));
  EXPECT_THAT(reason(crash_header(7, {{1, 2}}) + pages("ab")), HasSubstr("of type 0x7"));
  EXPECT_THAT(reason(complete_dump().replace(4, 4, "DUMP")), HasSubstr("32-bit Windows"));
}

} // namespace
} // namespace vmemfs::test
