// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/mtree.h"
#include "tests/drivers/qemu_protocol/samples.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

std::vector<MtreeRange> parse_sample(const std::string& name) {
  auto ranges = parse_mtree(read_sample(name));
  EXPECT_TRUE(ranges) << ranges.error().message();
  return ranges ? std::move(*ranges) : std::vector<MtreeRange>{};
}

/// "BEGIN-END type name+OFFSET" of each range that is memory.
std::vector<std::string> memory_of(const std::vector<MtreeRange>& ranges) {
  static constexpr std::array kTypes{"ram", "rom", "romd", "ramd", "nv_ram", "io"};
  std::vector<std::string> lines;
  for (const MtreeRange& range : ranges) {
    if (range.type != MtreeType::io) {
      std::array<char, 200> line{};
      std::snprintf(line.data(), line.size(), "%llx-%llx %s %s+%llx",
                    static_cast<unsigned long long>(range.range.begin.value()),
                    static_cast<unsigned long long>(range.range.end.value()),
                    kTypes.at(static_cast<std::size_t>(range.type)), range.name.c_str(),
                    static_cast<unsigned long long>(range.offset));
      lines.emplace_back(line.data());
    }
  }
  return lines;
}

std::string view(const std::string& lines) {
  return "FlatView #0\r\n AS \"memory\", root: system\r\n Root memory region: system\r\n" + lines +
         "\r\n\r\n";
}

std::string failure_of(const std::string& text) {
  const auto ranges = parse_mtree(text);
  EXPECT_FALSE(ranges);
  return ranges ? std::string{} : ranges.error().message();
}

TEST(Mtree, PcAtReset) {
  EXPECT_THAT(memory_of(parse_sample("mtree_pc_reset.txt")),
              testing::ElementsAre("0-c0000 ram pc.ram+0", "c0000-e0000 rom pc.rom+0",
                                   "e0000-100000 rom pc.bios+20000", "100000-4000000 ram pc.ram+100000",
                                   "fffc0000-100000000 rom pc.bios+0"));
}

TEST(Mtree, PcWithMemoryAboveFourGigabytes) {
  const auto ranges = parse_sample("mtree_pc.txt");
  ASSERT_FALSE(ranges.empty());
  const auto& high = ranges.back();
  EXPECT_EQ(high.range, (GpaRange{Gpa{4 * kGiB}, Gpa{7 * kGiB}}));
  EXPECT_EQ(high.offset, 3 * kGiB);
  EXPECT_EQ(high.name, "pc.ram");
  EXPECT_THAT(memory_of(ranges), testing::Contains("fd000000-fe000000 ram vga.vram+0"));
  EXPECT_TRUE(std::ranges::none_of(ranges, &MtreeRange::kvm));
}

TEST(Mtree, KvmSlotsAreMarked) {
  const auto ranges = parse_sample("mtree_pc_kvm.txt");
  for (const MtreeRange& range : ranges) {
    EXPECT_EQ(range.kvm, range.type != MtreeType::io) << range.name;
  }
  EXPECT_THAT(memory_of(ranges), testing::Contains("100000000-1c0000000 ram pc.ram+c0000000"));
}

TEST(Mtree, SmmViewWithRootNamedMemory_IsIgnored) {
  const std::string text = read_sample("mtree_q35_ovmf.txt");
  ASSERT_LT(text.find("root: memory"), text.find("AS \"memory\"")) << "the sample has lost its point";
  EXPECT_THAT(memory_of(parse_sample("mtree_q35_ovmf.txt")),
              testing::ElementsAre("0-c0000 ram pc.ram+0", "c0000-e0000 rom pc.rom+0",
                                   "e0000-100000 rom isa-bios+0", "100000-10000000 ram pc.ram+100000",
                                   "ffc00000-ffc84000 romd system.flash1+0",
                                   "ffc84000-100000000 romd system.flash0+0"));
}

TEST(Mtree, BehindOtherViewsAndSharedWithOtherAddressSpaces) {
  EXPECT_THAT(memory_of(parse_sample("mtree_microvm.txt")),
              testing::ElementsAre("0-f0000 ram microvm.ram+0", "f0000-100000 ram pc.bios+0",
                                   "100000-4000000 ram microvm.ram+100000",
                                   "ffff0000-100000000 ram pc.bios+0"));
}

TEST(Mtree, NumaNodesAndDimm) {
  EXPECT_THAT(memory_of(parse_sample("mtree_pc_numa_dimm.txt")),
              testing::AllOf(testing::Contains(testing::EndsWith("ram n0+0")),
                             testing::Contains("4000000-8000000 ram n1+0"),
                             testing::Contains("100000000-108000000 ram d0+0")));
}

TEST(Mtree, IvshmemAndNamesWithBlanks) {
  const auto ranges = parse_sample("mtree_q35_ivshmem.txt");
  EXPECT_THAT(memory_of(ranges), testing::Contains(testing::EndsWith("ram shm+0")));
  EXPECT_THAT(ranges, testing::Contains(testing::Field(&MtreeRange::name, "bochs dispi interface")));
}

TEST(Mtree, TypesOffsetsAndNames) {
  const auto ranges = parse_mtree(view("  0000000000000000-0000000000000fff (prio 0, nv-ram): a b @c\r\n"
                                       "  0000000000001000-0000000000001fff (prio -1, nv-rom): n (x): y "
                                       "@0000000000000020 KVM KVM\r\n"
                                       "  0000000000002000-0000000000002fff (prio 0, ramd): KVM\r\n"
                                       "  0000000000003000-ffffffffffffffff (prio 0, i/o): io"));
  ASSERT_TRUE(ranges) << ranges.error().message();
  ASSERT_EQ(ranges->size(), 3U);
  EXPECT_EQ((*ranges)[0].type, MtreeType::nv_ram);
  EXPECT_EQ((*ranges)[0].name, "a b @c");
  EXPECT_EQ((*ranges)[1].type, MtreeType::rom);
  EXPECT_EQ((*ranges)[1].name, "n (x): y");
  EXPECT_EQ((*ranges)[1].offset, 0x20U);
  EXPECT_TRUE((*ranges)[1].kvm);
  EXPECT_EQ((*ranges)[2].type, MtreeType::ramd);
  EXPECT_EQ((*ranges)[2].name, "KVM");
}

TEST(Mtree, ViewWithoutRangesIsEmpty) {
  const auto ranges = parse_mtree(view("  No rendered FlatView"));
  ASSERT_TRUE(ranges) << ranges.error().message();
  EXPECT_TRUE(ranges->empty());
}

TEST(Mtree, NoSuchViewIsAnError) {
  EXPECT_THAT(failure_of(""), testing::HasSubstr("no view"));
  EXPECT_THAT(failure_of("unknown command: 'info mtree -f'\r\n"), testing::HasSubstr("no view"));
  EXPECT_THAT(failure_of("FlatView #0\r\n AS \"cpu-smm-0\", root: memory\r\n"),
              testing::HasSubstr("no view"));
}

TEST(Mtree, MalformedLines_AreQuotedInTheError) {
  for (const std::string line :
       {"0000000000000000-00000000000 (prio 0, ram): a", "0000000000000000 0000000000000fff (prio 0, ram): a",
        "0000000000001000-0000000000000fff (prio 0, ram): a", "0000000000000000-0000000000000fff (prio 0): a",
        "0000000000000000-0000000000000fff (prio 0, ram) a",
        "0000000000000000-0000000000000fff (prio 0, xyz): a",
        "0000000000000000-0000000000000fff (prio ): , ram",
        "0000000000000000-ffffffffffffffff (prio 0, ram): a",
        "00000000000000000000000000000000-0000000000000fff (prio 0, ram): a", "some words", "\x01\xff\x80"}) {
    EXPECT_THAT(failure_of(view(line)), testing::HasSubstr("cannot parse a line")) << line;
  }
  EXPECT_THAT(failure_of(view("rubbish here")), testing::HasSubstr("'rubbish here'"));
}

TEST(Mtree, OverlapIsAnError) {
  EXPECT_THAT(failure_of(view("0000000000000000-0000000000001fff (prio 0, ram): a\r\n"
                              "0000000000001000-0000000000002fff (prio 0, ram): b")),
              testing::HasSubstr("overlap, at 0x1000"));
}

TEST(Mtree, AnyTruncationIsAnErrorOrASubset) {
  const std::string text = read_sample("mtree_q35_ovmf.txt");
  const auto whole = parse_mtree(text);
  ASSERT_TRUE(whole);
  for (std::size_t size = 0; size < text.size(); size += 7) {
    const auto part = parse_mtree(text.substr(0, size));
    EXPECT_TRUE(!part || part->size() <= whole->size());
  }
}

TEST(Mtree, OverlongAndBinaryInput) {
  EXPECT_THAT(failure_of(view(std::string(1 << 20, 'x'))), testing::HasSubstr("..."));
  EXPECT_FALSE(parse_mtree(std::string(1 << 20, '\0')));
  const auto ranges =
      parse_mtree(view("0000000000000000-0000000000000fff (prio 0, ram): " + std::string(1 << 16, 'n')));
  ASSERT_TRUE(ranges);
  EXPECT_EQ(ranges->front().name.size(), std::size_t{1} << 16);
}

} // namespace
} // namespace vmemfs
