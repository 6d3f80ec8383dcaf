// SPDX-License-Identifier: MIT
#include "vm/memory/memory_search.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

GpaRange range_of(std::uint64_t begin, std::uint64_t end) { return {Gpa{begin}, Gpa{end}}; }

/// RAM 0-0x10000, hole to 0x18000, RAM to 1 MiB; hole to 1.5 MiB; RAM to 2 MiB. No bytes, only uses.
class UsesOnly final : public AddressSpace {
public:
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::span<const GpaRange>, HolePolicy, ReadScratch&,
                                                          ReadAhead*) override {
    return tl::unexpected{ErrorKind::unsupported};
  }
  [[nodiscard]] Result<std::size_t> write(std::uint64_t, std::span<const std::byte>) override {
    return fail(ErrorKind::unsupported, "test", "nothing to write to");
  }
  [[nodiscard]] std::shared_ptr<const MemoryMap> map() const override { return map_; }
  [[nodiscard]] UseSearch find(const GpaRange& range, MemoryUse wanted) override {
    if (sparse.empty()) {
      return all_held(range.size(), wanted);
    }
    const Gpa begin = std::clamp(sparse.begin, range.begin, range.end);
    const Gpa end = std::clamp(sparse.end, range.begin, range.end);
    if (wanted == MemoryUse::sparse) {
      return {begin - range.begin, begin < end};
    }
    return begin == range.begin ? UseSearch{end - begin, end < range.end} : UseSearch{0, true};
  }
  void poll_layout() override {}
  void begin_view() override {}
  void end_view() override {}
  void note_kept_page() override {}

  GpaRange sparse; ///< one range; empty: all memory is held

private:
  static MemoryMap made_map() {
    std::vector<Region> regions;
    for (const auto& [begin, end] : {std::pair<std::uint64_t, std::uint64_t>{0, 0x10000},
                                     {0x18000, kMiB},
                                     {kMiB + kMiB / 2, 2 * kMiB}}) {
      regions.push_back({.range = range_of(begin, end), .kind = RegionKind::ram, .writable = true});
    }
    return MemoryMap::build(std::move(regions), {"ram"}).value();
  }

  const std::shared_ptr<const MemoryMap> map_ = std::make_shared<const MemoryMap>(made_map());
};

TEST(MemorySearch, Seek_MatchesLseek) {
  UsesOnly memory;
  EXPECT_EQ(seek_data(memory, 0), 0U);
  EXPECT_EQ(seek_hole(memory, 0), 0x10000U);
  EXPECT_EQ(seek_data(memory, 0x10000), 0x18000U);
  EXPECT_EQ(seek_hole(memory, 0x12345), 0x12345U);
  EXPECT_EQ(seek_hole(memory, 0x18000), kMiB);
  EXPECT_EQ(seek_data(memory, kMiB), kMiB + kMiB / 2);
  EXPECT_EQ(seek_hole(memory, 2 * kMiB - 1), 2 * kMiB);
  EXPECT_EQ(seek_data(memory, 2 * kMiB), tl::unexpected{ErrorKind::past_end});
  EXPECT_EQ(seek_hole(memory, 2 * kMiB), tl::unexpected{ErrorKind::past_end});
}

TEST(MemorySearch, FindFirst_TakesHolesForHeld) {
  UsesOnly memory;
  memory.sparse = range_of(0x4000, 0x10000);
  MemorySearch search{memory};
  EXPECT_EQ(search.find_first(range_of(0, 0x10000), MemoryUse::held), Gpa{0});
  EXPECT_EQ(search.find_first(range_of(0, 0x10000), MemoryUse::sparse), Gpa{0x4000});
  EXPECT_EQ(search.find_first(range_of(0x5000, 0x18000), MemoryUse::held), Gpa{0x10000});
  EXPECT_EQ(search.find_first(range_of(0x10000, kMiB), MemoryUse::sparse), std::nullopt);
  EXPECT_EQ(search.find_first(range_of(0x4000, 0x10000), MemoryUse::held), std::nullopt);
}

TEST(MemorySearch, FindFirst_EmptyRangeHasNone) {
  UsesOnly memory;
  EXPECT_EQ(MemorySearch{memory}.find_first(range_of(0x1000, 0x1000), MemoryUse::held), std::nullopt);
}

} // namespace
} // namespace vmemfs
