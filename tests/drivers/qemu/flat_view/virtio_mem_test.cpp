// SPDX-License-Identifier: MIT
// Guests with virtio-mem (real QEMU): what is not plugged is a hole.
#include "tests/drivers/qemu/attached_guest.h"
#include "tests/drivers/qemu/flat_view/virtio_mem_driver.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::qemu {
namespace {

constexpr std::uint64_t kMemory = std::uint64_t{4} << 30U; ///< where the device's memory begins
constexpr std::uint64_t kBlock = std::uint64_t{2} << 20U;
constexpr std::uint64_t kPattern = 0x1122334455667788;

constexpr std::uint64_t block(std::uint64_t number) { return kMemory + number * kBlock; }

/// A guest whose vCPU never runs: the test acts for it.
class VirtioMemGuest {
public:
  [[nodiscard]] test::QemuGuest& guest() { return guest_; }
  [[nodiscard]] VirtioMemDriver& device() { return device_; }

private:
  [[nodiscard]] test::GuestOptions options() const {
    test::GuestOptions options;
    options.memory = "64M,maxmem=1G,slots=2";
    options.kernel = false;
    options.extra = {
        "-S",
        "-object",
        "memory-backend-ram,id=vm0,size=32M",
        "-device",
        "virtio-mem-pci,memdev=vm0,id=vmm,requested-size=16M,block-size=2M,disable-legacy=on,addr=0x10",
        "-qtest",
        "unix:" + dir_ / "qtest" + ",server=on,wait=off"};
    return options;
  }

  test::TempDir dir_;
  test::QemuGuest guest_{options()};
  VirtioMemDriver device_{dir_ / "qtest"};
};

/// The ranges of main memory from 4 GiB on.
std::vector<GpaRange> shown(Driver& driver) {
  std::vector<GpaRange> ranges;
  const auto map = driver.memory_map();
  for (const Region& region : map->regions()) {
    if (region.range.begin >= Gpa{kMemory}) {
      EXPECT_EQ(region.kind, RegionKind::ram);
      ranges.push_back(region.range);
    }
  }
  return ranges;
}

GpaRange blocks(std::uint64_t begin, std::uint64_t end) { return {Gpa{block(begin)}, Gpa{block(end)}}; }

class VirtioMem : public testing::TestWithParam<std::string> {};

TEST_P(VirtioMem, NothingPlugged_IsAHole) {
  VirtioMemGuest vm;
  AttachedDriver attached{vm.guest().pid(), GetParam()};
  EXPECT_THAT(shown(attached.driver()), testing::IsEmpty());
  EXPECT_EQ(attached.driver().memory_map()->ram_end(), Gpa{64U << 20U});
  EXPECT_THAT(attached.driver().access().map, testing::Not(testing::HasSubstr("not used")));
}

INSTANTIATE_TEST_SUITE_P(Maps, VirtioMem, testing::Values("", ",map=monitor", ",map=flatview"),
                         [](const auto& source) {
                           return source.param.empty() ? std::string{"automatic"}
                                                       : source.param.substr(source.param.find('=') + 1);
                         });

TEST(VirtioMemBlocks, PluggedAndUnplugged_AreSeenAtTheNextPoll) {
  VirtioMemGuest vm;
  AttachedDriver attached{vm.guest().pid()};
  Driver& driver = attached.driver();
  vm.device().plug(block(2), 1);
  vm.device().plug(block(5), 2);
  driver.poll_layout(false);
  EXPECT_THAT(shown(driver), testing::ElementsAre(blocks(2, 3), blocks(5, 7)));
  EXPECT_EQ(driver.memory_map()->ram_end(), Gpa{block(7)});

  vm.device().qtest().write("writeq", block(5) + 8, kPattern);
  std::array<std::byte, 16> bytes{};
  ReadPiece piece{Gpa{block(5)}, bytes, 0, std::nullopt};
  driver.read({&piece, 1});
  ASSERT_FALSE(piece.failure);
  EXPECT_EQ(std::memcmp(bytes.data() + 8, &kPattern, 8), 0);
  EXPECT_THAT(vm.guest().pmemsave(block(5), 16), testing::ElementsAreArray(bytes)) << "as QEMU has it";

  vm.device().unplug(block(5), 1);
  driver.poll_layout(false);
  EXPECT_THAT(shown(driver), testing::ElementsAre(blocks(2, 3), blocks(6, 7)));
}

TEST(VirtioMemBlocks, PluggedBeforeAttaching_AreShown) {
  VirtioMemGuest vm;
  vm.device().plug(block(15), 1);
  AttachedDriver by_both{vm.guest().pid()};
  EXPECT_THAT(shown(by_both.driver()), testing::ElementsAre(blocks(15, 16)));
  AttachedDriver by_view{vm.guest().pid(), ",map=flatview"};
  EXPECT_THAT(shown(by_view.driver()), testing::ElementsAre(blocks(15, 16)));
}

TEST(VirtioMemBlocks, MonitorAlonePartlyPlugged_IsWholeAndInfoSaysSo) {
  VirtioMemGuest vm;
  vm.device().plug(block(15), 1);
  AttachedDriver attached{vm.guest().pid(), ",map=monitor"};
  EXPECT_THAT(shown(attached.driver()), testing::ElementsAre(blocks(0, 16)));
  const auto results = attached.driver().probe();
  const auto noted = std::ranges::find(results, "virtio-mem", &ProbeResult::what);
  ASSERT_NE(noted, results.end());
  EXPECT_FALSE(noted->ok);
  EXPECT_THAT(noted->detail, testing::HasSubstr("counts as plugged"));
}

} // namespace
} // namespace vmemfs::qemu
