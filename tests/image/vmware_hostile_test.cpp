// SPDX-License-Identifier: MIT
// State files of VMware that are cut off, damaged or made to harm.
#include "image/saved/vmware/vmware_tags.h"
#include "util/unique_fd.h"
#include "vmware_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr std::uint64_t kPage = 0x1000;
constexpr std::uint64_t kMax = ~std::uint64_t{0};

std::string of_memory(const std::string& tags) { return vmware_state({{"memory", tags}}); }

/// With the memory of two pages behind its regions.
std::string good(const std::vector<VmwareRegionPages>& regions = {{0, 0, 1}, {1, 0x100, 1}}) {
  return of_memory(vmware_regions(regions) + vmware_block("Memory", {0, 0}, vmware_pages("ab")));
}

std::string error_of(const std::string& bytes) {
  const auto image = open_bytes(bytes, "vmware");
  return image ? "" : image.error().text;
}

TEST(VmwareHostile, CutAnywhere_OpensOrSaysWhy) {
  const std::string whole = good();
  const std::size_t memory = whole.find("aaaa");
  for (std::size_t size = 4; size < whole.size(); size += size < memory ? 1 : 61) {
    const auto image = open_bytes(std::string_view{whole}.substr(0, size));
    if (size >= memory) {
      ASSERT_TRUE(image || size == memory) << image.error().text;
      const std::uint64_t there = size - memory;
      if (image && there < 2 * kPage) {
        EXPECT_EQ(image->first_missing, Gpa{there < kPage ? there : 0x100000 + there - kPage}) << size;
      }
      EXPECT_TRUE(!image || image->problem.find("its group 'memory' is cut off") == 0) << size;
    } else {
      ASSERT_FALSE(image) << size;
      EXPECT_THAT(image.error().text, AnyOf(HasSubstr("cut off"), HasSubstr("no memory in it"))) << size;
    }
  }
}

TEST(VmwareHostile, CutBeforeItsRegions_IsNotShownAbove3GiB) {
  const TempDir dir;
  write_file(dir / "image", of_memory(vmware_block_begin("Memory", {0, 0}, 4ULL << 30U)));
  const auto file = SavedFile::open(dir / "image");
  ASSERT_TRUE(file);
  const auto image = open_image(*file, {});
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().text, HasSubstr("cut off before the list of its memory regions"));
}

TEST(VmwareHostile, Groups_AreBounded) {
  const std::string bytes = good();
  EXPECT_TRUE(open_bytes(with(bytes, 8, 0xffffffff, 4))) << "number of groups: the first is there";
  EXPECT_THAT(error_of(with(bytes, 8, 0, 4)), HasSubstr("no group 'memory'"));
  EXPECT_THAT(error_of(with(bytes, 12, 'M', 1)), HasSubstr("no group 'memory'"));
  for (const std::uint64_t offset :
       {kMax, kMax - 1, kMax >> 1U, std::uint64_t{1} << 63U, std::uint64_t{bytes.size()}}) {
    EXPECT_NE(error_of(with(bytes, 12 + 64, offset, 8)), "") << offset;
  }
  EXPECT_TRUE(open_bytes(with(bytes, 12 + 72, kMax, 8))) << "the size is not used";
  EXPECT_NE(error_of(with(bytes, 12 + 64, 0, 8)), "") << "its tags are the header";
}

TEST(VmwareHostile, SizesOfBlocks_DoNotWrap) {
  for (const std::uint64_t size : {kMax, kMax - 0x200, kMax >> 1U, std::uint64_t{1} << 52U}) {
    const auto before = open_bytes(of_memory(vmware_block_begin("x", {}, size) + vmware_regions({{0, 0, 1}}) +
                                             vmware_block("Memory", {0, 0}, vmware_pages("a"))));
    EXPECT_FALSE(before) << size;
    EXPECT_FALSE(
        open_bytes(of_memory(vmware_regions({{0, 0, 1}}) + vmware_block_begin("Memory", {0, 0}, size))))
        << size;
  }
  const auto image = open_bytes(
      of_memory(vmware_regions({{0, 0, 1}}) + vmware_block_begin("Memory", {0, 0}, (1ULL << 52U) - 1)));
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_NE(image->first_missing, std::nullopt);
}

TEST(VmwareHostile, RegionsBeyondTheirBlock_AreNotTheRestOfTheFile) {
  const auto image = open_bytes(vmware_state(
      {{"memory", vmware_regions({{0, 0, 1}, {1, 1, 4}}) + vmware_block("Memory", {0, 0}, vmware_pages("a"))},
       {"secret", vmware_block("key", {}, vmware_pages("sss"))}}));
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->extents.size(), 2U);
  EXPECT_EQ(image->extents.at(1).kind, ExtentKind::absent);
  EXPECT_EQ(image->first_missing, Gpa{kPage});
}

TEST(VmwareHostile, RegionsThatCannotBe_AreRefused) {
  EXPECT_NE(error_of(good({{0, 0, 0}})), "") << "no memory at all";
  EXPECT_THAT(error_of(of_memory(vmware_value("regionsCount", {}, 4097))), HasSubstr("more than 4096"));
  EXPECT_THAT(error_of(of_memory(vmware_value("regionsCount", {}, kMax, 8))), HasSubstr("more than 4096"));
  EXPECT_THAT(error_of(of_memory(vmware_regions({{0, 0, 1}}) + vmware_value("regionsCount", {}, 2))),
              HasSubstr("lacks region 1 of 2"));
  for (const std::string name : {"regionPageNum", "regionPPN", "regionSize"}) {
    const std::string tags = vmware_regions({{0, 0, 1}}) + vmware_value(name, {0}, kMax, 8);
    EXPECT_THAT(error_of(of_memory(tags)), HasSubstr("beyond all memory")) << name;
    EXPECT_TRUE(
        open_bytes(of_memory(vmware_regions({{0, 0, 1}}) + vmware_value(name, {4096}, kMax, 8) +
                             vmware_value(name, {0xffffffffU}, kMax, 8) + vmware_value(name, {}, kMax, 8) +
                             vmware_block("Memory", {0, 0}, vmware_pages("a")))))
        << name << " of other indexes";
  }
}

TEST(VmwareHostile, RegionsThatOverlap_FirstCounts) {
  const auto image = open_bytes(good({{0, 0, 1}, {1, 0, 1}}));
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->extents.size(), 1U);
  EXPECT_EQ(image->extents.at(0).range.size(), kPage);
}

TEST(VmwareHostile, SeveralBlocksOfMemory_FirstCountsAndIsReported) {
  const auto image =
      open_bytes(of_memory(vmware_regions({{0, 0, 1}}) + vmware_block("Memory", {0, 0}, vmware_pages("a")) +
                           vmware_block("Memory", {0, 1}, vmware_pages("b"))));
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_THAT(image->problem, HasSubstr("more than one block of memory"));
}

/// As open_bytes(), without a disk.
Result<SavedImage> open_in_memory(const std::string& bytes) {
  UniqueFd fd{::memfd_create("image", MFD_CLOEXEC)};
  EXPECT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  return open_image(SavedFile::adopt(std::move(fd), bytes.size()), {});
}

TEST(VmwareHostile, GroupWithoutEnd_HasAMaxOfTags) {
  const auto at_least = [](std::size_t count, std::string tags) {
    for (std::size_t had = 1; had < count; had *= 2) {
      tags += std::string{tags};
    }
    return tags;
  };
  const std::string many = at_least(2 * VmwareTags::kMaxTags, vmware_value("", {}, 1, 1));
  const std::string apart = at_least(1U << 13U, vmware_block("x", {}, vmware_pages("x"))); // 32 MiB
  for (const std::string& tags : {many, apart}) {
    const std::string memory = vmware_block("Memory", {0, 0}, vmware_pages("a"));
    const auto image = open_in_memory(of_memory(memory + tags));
    ASSERT_TRUE(image) << image.error().text;
    EXPECT_THAT(image->problem, HasSubstr("more tags than there can be"));
    EXPECT_FALSE(open_in_memory(of_memory(tags + memory))) << "it is behind the last tag that is read";
  }
}

/// The tags of two groups may be the same bytes, and a group its own list; each is read once.
TEST(VmwareHostile, GroupsOnEachOther_AreReadOnce) {
  const std::string two = vmware_state({{"memory", vmware_regions({{0, 0, 1}})}, {"cpu", ""}});
  const std::uint64_t first = 12 + 2 * 80;
  EXPECT_THAT(error_of(with(two, 12 + 80 + 64, first, 8)), HasSubstr("no memory in it"));
  std::string file = number(kVmwareMagic, 4) + number(0, 4) + number(4096, 4);
  for (int i = 0; i < 4096; ++i) {
    std::string name = "memory";
    name.resize(64, '\0');
    file += name + number(12, 8) + number(0, 8);
  }
  EXPECT_NE(error_of(file), "");
}

} // namespace
} // namespace vmemfs::test
