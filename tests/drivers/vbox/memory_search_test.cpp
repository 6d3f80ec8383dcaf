// SPDX-License-Identifier: MIT
#include "drivers/vbox/guest/memory_search.h"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs::vbox {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;

struct Guest {
  std::vector<GpaRange> memory;
  unsigned reads = 0;

  Result<MemoryMap> find(std::uint64_t ram_bytes) {
    return find_memory(ram_bytes, [this](Gpa page) -> Result<bool> {
      ++reads;
      return std::ranges::any_of(memory, [&](const GpaRange& range) { return range.contains(page); });
    });
  }
};

GpaRange range(std::uint64_t begin, std::uint64_t end) { return {Gpa{begin}, Gpa{end}}; }

std::string text_of(const Result<MemoryMap>& map) {
  if (!map) {
    return "error: " + map.error().text;
  }
  std::string text;
  for (const Region& region : map->regions()) {
    text += fmt::format("{}{:x}-{:x}:{}", text.empty() ? "" : " ", region.range.begin.value(),
                        region.range.end.value(), to_string(region.kind));
  }
  return text;
}

TEST(VboxMemorySearch, SmallGuest_EndsAtItsSize) {
  Guest guest{{range(0, 0xa0000), range(kMiB, 512 * kMiB)}};
  EXPECT_EQ(text_of(guest.find(512 * kMiB)), "0-a0000:ram 100000-20000000:ram");
}

TEST(VboxMemorySearch, Firmware_IsWhatCanBeRead) {
  Guest guest{{range(0, 0xa0000), range(0xc0000, 0xc8000), range(0xf0000, 512 * kMiB)}};
  EXPECT_EQ(text_of(guest.find(512 * kMiB)),
            "0-a0000:ram c0000-c8000:rom f0000-100000:rom 100000-20000000:ram");
}

TEST(VboxMemorySearch, LargeGuest_GoesOnBehindTheDefaultHole) {
  Guest guest{{range(0, 0xa0000), range(kMiB, 3584 * kMiB), range(4 * kGiB, 8 * kGiB + 512 * kMiB)}};
  EXPECT_EQ(text_of(guest.find(8 * kGiB)), "0-a0000:ram 100000-e0000000:ram 100000000-220000000:ram");
  EXPECT_LT(guest.reads, 100U);
}

TEST(VboxMemorySearch, OtherHole_IsFound) {
  for (const std::uint64_t hole : {64 * kMiB, 256 * kMiB, 1024 * kMiB, 2048 * kMiB, 3072 * kMiB}) {
    Guest guest{{range(0, 0xa0000), range(kMiB, 4 * kGiB - hole), range(4 * kGiB, 6 * kGiB + hole)}};
    EXPECT_EQ(text_of(guest.find(6 * kGiB)), fmt::format("0-a0000:ram 100000-{:x}:ram 100000000-{:x}:ram",
                                                         4 * kGiB - hole, 6 * kGiB + hole));
    EXPECT_LT(guest.reads, 400U);
  }
}

TEST(VboxMemorySearch, JustBelowTheHole_HasNoHighMemory) {
  Guest guest{{range(0, 0xa0000), range(kMiB, 3840 * kMiB)}};
  EXPECT_EQ(text_of(guest.find(3840 * kMiB)), "0-a0000:ram 100000-f0000000:ram");
}

TEST(VboxMemorySearch, DeviceMemoryBehindTheEnd_DoesNotMatter) {
  Guest guest{{range(0, 0xa0000), range(kMiB, 2 * kGiB + 16 * kMiB)}};
  EXPECT_EQ(text_of(guest.find(2 * kGiB)), "0-a0000:ram 100000-80000000:ram");
}

TEST(VboxMemorySearch, LessThanItSays_EndsWhereItEnds) {
  Guest guest{{range(0, 0xa0000), range(kMiB, 1000 * kMiB)}};
  EXPECT_EQ(text_of(guest.find(kGiB)), "0-a0000:ram 100000-3e800000:ram");
}

TEST(VboxMemorySearch, NothingFits_NamesMaps) {
  Guest none{};
  EXPECT_NE(text_of(none.find(kGiB)).find("maps="), std::string::npos);
  Guest odd{{range(0, 0xa0000), range(kMiB, 3 * kGiB + 5 * kMiB), range(4 * kGiB, 5 * kGiB)}};
  EXPECT_NE(text_of(odd.find(8 * kGiB)).find("maps="), std::string::npos);
}

TEST(VboxMemorySearch, AnyReadability_EndsSoon) {
  std::uint64_t seed = 1;
  for (int i = 0; i < 200; ++i) {
    unsigned reads = 0;
    const auto map = find_memory(seed % (64 * kGiB), [&](Gpa /*page*/) -> Result<bool> {
      seed = seed * 6364136223846793005 + 1442695040888963407;
      ++reads;
      return (seed >> 40U) % 3 != 0;
    });
    EXPECT_LT(reads, 500U);
    EXPECT_TRUE(map || map.error().kind == ErrorKind::source_failed);
  }
}

} // namespace
} // namespace vmemfs::vbox
