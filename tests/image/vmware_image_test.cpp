// SPDX-License-Identifier: MIT
#include "vmware_state.h"

#include <chrono>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vmemfs::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kPage = 0x1000;

/// The image of a file in a directory.
Result<SavedImage> open_in(const TempDir& dir, std::string_view name, std::string_view format = {}) {
  auto file = SavedFile::open(dir / name);
  return file ? open_image(*file, format) : tl::unexpected{file.error()};
}

std::string error_of(const Result<SavedImage>& image) { return image ? "" : image.error().text; }

/// Three pages in two regions.
const std::vector<VmwareRegionPages> kRegions{{0, 0, 2}, {2, 0x100, 1}};
const std::vector<Extent> kExtents{stored(0, 2 * kPage, 0), stored(0x100000, 0x101000, 2 * kPage)};

std::string state_without_memory() { return vmware_state({{"memory", vmware_regions(kRegions)}}); }

/// Regions before the block of the memory, as the offset of the block is behind them.
std::string state_with_memory(const BlockForm& form, std::uint32_t magic = kVmwareMagic) {
  return vmware_state({{"Checkpoint", vmware_value("fileversion", {}, 8)},
                       {"memory", vmware_value("align_mask", {0}, 0xffff) + vmware_regions(kRegions) +
                                      vmware_block("Memory", {0, 0}, vmware_pages("abc"), form)},
                       {"cpu", vmware_value("cpu:numVCPUs", {}, 1) + vmware_value("rip", {0}, 0x1234, 8)}},
                      magic);
}

TEST(VmwareImage, MemoryInTheState_RegionsAreRelativeToItsBlock) {
  for (const std::uint32_t magic : {0xbed2bed2U, 0xbed3bed3U, 0xbad1bad1U, 0xbad2bad2U}) {
    for (const std::size_t padding : {0U, 1U, 0xfffU}) {
      const std::string bytes = state_with_memory({.padding = padding}, magic);
      const auto image = open_bytes(bytes);
      ASSERT_TRUE(image) << image.error().text;
      EXPECT_EQ(image->description, "VMware state");
      const std::uint64_t begin = bytes.find(vmware_pages("a"));
      EXPECT_THAT(image->extents,
                  ElementsAre(stored(0, 2 * kPage, begin), stored(0x100000, 0x101000, begin + 2 * kPage)));
      EXPECT_EQ(image->problem, "");
      EXPECT_EQ(image->first_missing, std::nullopt);
      EXPECT_EQ(image->registers.size(), 1U) << "the group behind the memory is read";
    }
  }
}

TEST(VmwareImage, OldMagic_BlocksHaveSizesOf32Bits) {
  for (const std::uint32_t magic : {kVmwareOldMagic, 0xbed2bed0U}) {
    const std::string bytes = state_with_memory({.padding = 7, .old = true}, magic);
    const auto image = open_bytes(bytes);
    ASSERT_TRUE(image) << image.error().text;
    EXPECT_EQ(image->extents.at(0).offset, bytes.find(vmware_pages("a")));
    EXPECT_EQ(image->problem, "");
    EXPECT_EQ(image->registers.size(), 1U);
  }
}

TEST(VmwareImage, OtherBlocksBeforeTheMemory_AreSkipped) {
  const std::string bytes =
      vmware_state({{"memory", vmware_block("other", {1, 2, 3}, "content", {.padding = 3, .packed = true}) +
                                   vmware_block("empty", {}, "") + vmware_value("wide", {}, 0, 61) +
                                   vmware_block("Memory", {0, 0}, vmware_pages("ab"))}});
  const auto image = open_bytes(bytes);
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_THAT(image->extents, ElementsAre(stored(0, 2 * kPage, bytes.find("aaaa"))));
}

TEST(VmwareImage, NoRegions_MemoryIsOneToOne) {
  const auto none = vmware_state({{"memory", vmware_block("Memory", {0, 0}, vmware_pages("abc"))}});
  const auto zero = vmware_state({{"memory", vmware_value("regionsCount", {}, 0) +
                                                 vmware_block("Memory", {0, 0}, vmware_pages("abc"))}});
  for (const std::string& bytes : {none, zero}) {
    const auto image = open_bytes(bytes, "vmware");
    ASSERT_TRUE(image) << image.error().text;
    EXPECT_THAT(image->extents, ElementsAre(stored(0, 3 * kPage, bytes.find("aaaa"))));
  }
}

TEST(VmwareImage, OfArmMachine_MemoryBeginsAt2GiB) {
  const auto image = open_bytes(vmware_state(
      {{"memory", vmware_block("Memory", {0, 0}, vmware_pages("a"))},
       {"cpu", vmware_value("hv:ttbrEL1", {0, 0}, 0x1000, 8) + vmware_value("rip", {0}, 1, 8)}}));
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->extents.at(0).range, (GpaRange{Gpa{0x80000000}, Gpa{0x80001000}}));
  EXPECT_TRUE(image->registers.empty());
}

TEST(VmwareImage, CompressedMemory_IsRefusedWithAWayOut) {
  const auto image = open_bytes(state_with_memory({.packed = true}));
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(image.error().text, AllOf(HasSubstr("compressed"), HasSubstr("vmss2core")));
}

// ---- two files

TEST(VmwareImage, Pair_IsOpenedByEitherFile) {
  for (const std::string suffix : {".vmss", ".vmsn"}) {
    const TempDir dir;
    write_file(dir / "web 1.x" + suffix, state_without_memory());
    write_file(dir / "web 1.x.vmem", vmware_pages("abc"));
    for (const std::string& name : {"web 1.x" + suffix, std::string{"web 1.x.vmem"}}) {
      const auto image = open_in(dir, name);
      ASSERT_TRUE(image) << image.error().text;
      EXPECT_EQ(image->description, "VMware state with a .vmem");
      EXPECT_EQ(image->extents, kExtents);
      EXPECT_EQ(image->memory.has_value(), name.ends_with(suffix)) << "extents are in the .vmem";
      EXPECT_EQ(image->problem, "");
      EXPECT_EQ(image->first_missing, std::nullopt);
    }
  }
}

TEST(VmwareImage, MemoryFileThatBeginsAsAnotherFormat_IsMemory) {
  const TempDir dir;
  write_file(dir / "web.vmss", state_without_memory());
  for (const std::string& head : {lime_range({0, "x"}), state_without_memory(), std::string{"PAGEDU64"}}) {
    write_file(dir / "web.vmem", head + vmware_pages("abc").substr(head.size()));
    const auto image = open_in(dir, "web.vmem");
    ASSERT_TRUE(image) << image.error().text;
    EXPECT_EQ(image->extents, kExtents) << "a guest can write what it wants there";
  }
}

TEST(VmwareImage, MemoryFileOfAnotherSize_IsReported) {
  const TempDir dir;
  write_file(dir / "web.vmss", state_without_memory());
  write_file(dir / "web.vmem", vmware_pages("ab"));
  const auto smaller = open_in(dir, "web.vmss");
  ASSERT_TRUE(smaller) << smaller.error().text;
  EXPECT_EQ(smaller->first_missing, Gpa{0x100000});
  EXPECT_THAT(smaller->problem,
              HasSubstr("has 8192 bytes, but the regions of its .vmss or .vmsn have 12288"));
  EXPECT_THAT(smaller->extents, ElementsAre(stored(0, 2 * kPage, 0), absent(0x100000, 0x101000, 2 * kPage)));
  write_file(dir / "web.vmem", vmware_pages("abcd"));
  const auto larger = open_in(dir, "web.vmem");
  ASSERT_TRUE(larger) << larger.error().text;
  EXPECT_EQ(larger->extents, kExtents);
  EXPECT_THAT(larger->problem, HasSubstr("has 16384 bytes"));
}

TEST(VmwareImage, NoMemoryFile_SaysWhatIsNeeded) {
  const TempDir dir;
  write_file(dir / "web.vmss", state_without_memory());
  EXPECT_THAT(error_of(open_in(dir, "web.vmss")),
              AllOf(HasSubstr("web.vmem"), HasSubstr("No such file"), HasSubstr("put the .vmem")));
  write_file(dir / "web.vmem", "");
  EXPECT_THAT(error_of(open_in(dir, "web.vmss")), HasSubstr("is empty"));
}

/// Who may write the directory could have the daemon, which is root, wait at a FIFO or read another file.
TEST(VmwareImage, OtherFileIsLinkOrFifo_IsRefused) {
  const TempDir dir;
  write_file(dir / "secret", vmware_pages("abc"));
  write_file(dir / "state", state_without_memory());
  write_file(dir / "linked.vmss", state_without_memory());
  std::filesystem::create_symlink(dir / "secret", dir / "linked.vmem");
  EXPECT_THAT(error_of(open_in(dir, "linked.vmss")), HasSubstr("symbolic links"));
  write_file(dir / "fifo.vmss", state_without_memory());
  ASSERT_EQ(::mkfifo((dir / "fifo.vmem").c_str(), 0600), 0);
  EXPECT_THAT(error_of(open_in(dir, "fifo.vmss")), HasSubstr("not a regular file"));
  write_file(dir / "other.vmem", vmware_pages("abc"));
  std::filesystem::create_symlink(dir / "state", dir / "other.vmsn");
  EXPECT_THAT(error_of(open_in(dir, "other.vmem")), HasSubstr("symbolic links")) << "not taken for alone";
}

TEST(VmwareImage, OtherFileIsNoState_IsRefused) {
  const TempDir dir;
  write_file(dir / "web.vmem", vmware_pages("abc"));
  write_file(dir / "web.vmss", "something");
  EXPECT_THAT(error_of(open_in(dir, "web.vmem")),
              AllOf(HasSubstr("the 'web.vmss' beside it"), HasSubstr("does not begin as")));
}

TEST(VmwareImage, MemoryFileAlone_IsOneToOneUpTo3GiB) {
  const TempDir dir;
  write_file(dir / "web.vmem", "abc");
  constexpr std::uint64_t kHole = 0xc0000000;
  std::filesystem::resize_file(dir / "web.vmem", kHole); // sparse
  const auto image = open_in(dir, "web.vmem", "known");
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_THAT(image->extents, ElementsAre(stored(0, kHole, 0)));
  EXPECT_TRUE(image->registers.empty());
  std::filesystem::resize_file(dir / "web.vmem", kHole + kPage);
  EXPECT_THAT(error_of(open_in(dir, "web.vmem")),
              AllOf(HasSubstr("'web.vmss' or 'web.vmsn'"), HasSubstr("format=raw")));
  EXPECT_TRUE(open_in(dir, "web.vmem", "raw"));
}

TEST(VmwareImage, Above3GiB_MemoryIsOnBothSidesOfTheHole) {
  const TempDir dir;
  constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
  write_file(dir / "big.vmsn",
             vmware_state({{"memory", vmware_regions({{0, 0, 0xc0000}, {0xc0000, 0x100000, 0x40000}})}}));
  write_file(dir / "big.vmem", "x");
  std::filesystem::resize_file(dir / "big.vmem", 4 * kGiB); // sparse
  for (const std::string name : {"big.vmsn", "big.vmem"}) {
    const auto begin = std::chrono::steady_clock::now();
    const auto image = open_in(dir, name);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{5}) << "the memory is not read";
    ASSERT_TRUE(image) << image.error().text;
    EXPECT_THAT(image->extents, ElementsAre(stored(0, 3 * kGiB, 0), stored(4 * kGiB, 5 * kGiB, 3 * kGiB)));
    EXPECT_EQ(image->problem, "");
  }
}

} // namespace
} // namespace vmemfs::test
