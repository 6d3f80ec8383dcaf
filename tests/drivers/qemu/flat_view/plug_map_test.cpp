// SPDX-License-Identifier: MIT
// Plug maps in the memory of this process, laid out as QEMU does it, and as an attacker would.
#include "drivers/qemu/flat_view/virtio_mem.h"
#include "support/processes.h"

#include <array>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <unistd.h>
#include <vector>

namespace vmemfs::qemu {
namespace {

constexpr std::uint64_t kBlock = std::uint64_t{2} << 20U;
constexpr std::uint64_t kBlocks = 70;
constexpr GpaRange kRange{Gpa{0x100000000}, Gpa{0x100000000 + kBlocks * kBlock}};

Hva address_of(const void* at) { return reinterpret_cast<Hva>(at); }

std::shared_ptr<const ProcessSpace> own_space() { return ProcessSpace::open(process_of(::getpid())).value(); }

/// As QEMU 7.2 lays out the fields of struct VirtIOMEM, behind what stands for its parent.
class FakeDevice {
public:
  explicit FakeDevice(std::uint64_t plugged_blocks) {
    words_[69] = kBlocks;
    words_[70] = address_of(bitmap_.data());
    words_[73] = kRange.begin.value();
    words_[74] = kRange.size(); // usable
    words_[75] = plugged_blocks * kBlock;
    words_[76] = kRange.size(); // requested
    words_[77] = kBlock;
  }
  [[nodiscard]] VirtioMemRegion region() const { return {address_of(words_.data()), kRange}; }
  [[nodiscard]] std::array<std::uint64_t, 2>& bitmap() { return bitmap_; }

private:
  std::array<std::uint64_t, 256> words_{};
  std::array<std::uint64_t, 2> bitmap_{};
};

TEST(PlugMap, IsFoundByItsFields) {
  FakeDevice device{3};
  device.bitmap() = {0b101,
                     std::uint64_t{1} << 5U | ~std::uint64_t{0} << 6U}; // bits above the last block count not
  std::size_t budget = kMaxPlugMapBytes;
  const auto map = find_plug_map(*own_space(), device.region(), budget);
  ASSERT_TRUE(map);
  EXPECT_EQ(map->blocks, kBlocks);
  std::vector<GpaRange> holes;
  ASSERT_TRUE(add_unplugged(*map, device.bitmap(), holes));
  const auto at = [](std::uint64_t block) { return kRange.begin + block * kBlock; };
  EXPECT_THAT(holes, testing::ElementsAre(GpaRange{at(1), at(2)}, GpaRange{at(3), at(69)}));
}

TEST(PlugMap, BitsAreNotAsManyAsPlugged_IsNotFound) {
  FakeDevice device{3};
  device.bitmap() = {0b1, 0};
  std::size_t budget = kMaxPlugMapBytes;
  EXPECT_FALSE(find_plug_map(*own_space(), device.region(), budget));
}

/// Each of its words is an address, a size and a number of blocks that fit each other, and a bitmap of 1 MiB.
TEST(PlugMap, EveryPlaceLooksRight_TheBudgetEndsTheSearch) {
  constexpr std::uint64_t kWord = std::uint64_t{1} << 23U;
  const std::vector<std::uint64_t> words(512, kWord);
  const VirtioMemRegion region{address_of(words.data()), {Gpa{kWord}, Gpa{kWord + kWord * kWord}}};
  std::size_t budget = kMaxPlugMapBytes;
  EXPECT_FALSE(find_plug_map(*own_space(), region, budget));
  EXPECT_EQ(budget, 0U);
}

TEST(PlugMap, MoreHolesThanAllowed_NothingIsAdded) {
  const std::vector<std::uint64_t> plugged(kMaxUnplugged / 32 + 1, 0x5555555555555555);
  const PlugMap map{{Gpa{0}, Gpa{plugged.size() * 64 * kBlock}}, 0, plugged.size() * 64, kBlock};
  std::vector<GpaRange> holes{GpaRange{Gpa{0}, Gpa{1}}};
  EXPECT_FALSE(add_unplugged(map, plugged, holes));
  EXPECT_EQ(holes.size(), 1U);
}

} // namespace
} // namespace vmemfs::qemu
