// SPDX-License-Identifier: MIT
#include "driver/kit/write_requests.h"

#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

/// RAM 0-0x3000 and, in another region, to 0x5000; hole to 0x8000; firmware to 0x9000.
MemoryMap made_map() {
  const auto region = [](std::uint64_t begin, std::uint64_t end, RegionKind kind, bool writable) {
    return Region{.range = {Gpa{begin}, Gpa{end}}, .kind = kind, .writable = writable, .block_offset = begin};
  };
  return MemoryMap::build({region(0, 0x3000, RegionKind::ram, true),
                           region(0x3000, 0x5000, RegionKind::device, true),
                           region(0x8000, 0x9000, RegionKind::rom, false)},
                          {"memory"})
      .value();
}

TEST(WriteRequests, RangeOfWritableRegions_MayBeWritten) {
  EXPECT_TRUE(check_writable(made_map(), Gpa{0x1000}, 0x4000, "test"));
  EXPECT_TRUE(check_writable(made_map(), Gpa{0x8000}, 0, "test"));
}

TEST(WriteRequests, HoleOrFirmware_IsRefusedWithItsAddress) {
  const auto hole = check_writable(made_map(), Gpa{0x4000}, 0x2000, "test");
  ASSERT_FALSE(hole);
  EXPECT_EQ(hole.error().kind, ErrorKind::hole);
  EXPECT_THAT(hole.error().text, HasSubstr("at 0x5000"));
  const auto firmware = check_writable(made_map(), Gpa{0x8100}, 1, "test");
  ASSERT_FALSE(firmware);
  EXPECT_EQ(firmware.error().kind, ErrorKind::read_only);
}

TEST(WriteRequests, LongWrite_IsCutAtRegionsAndAtTheMaxRequest) {
  std::vector<std::pair<std::uint64_t, std::size_t>> requests;
  const std::vector<std::byte> bytes(0x3800);
  const auto outcome = write_by_requests(made_map(), Gpa{0x1000}, bytes, 0x1800, [&](Gpa at, auto part) {
    EXPECT_EQ(part.data(), bytes.data() + (at - Gpa{0x1000}));
    requests.emplace_back(at.value(), part.size());
    return Result<void>{};
  });
  EXPECT_EQ(outcome.done, bytes.size());
  EXPECT_FALSE(outcome.failure);
  EXPECT_THAT(requests, ElementsAre(Pair(0x1000, 0x1800), Pair(0x2800, 0x800), Pair(0x3000, 0x1800)));
}

TEST(WriteRequests, RequestThatFails_EndsTheWrite) {
  const std::vector<std::byte> bytes(0x3000);
  const auto outcome = write_by_requests(made_map(), Gpa{0}, bytes, 0x1000, [](Gpa at, auto /*part*/) {
    return at < Gpa{0x1000} ? Result<void>{} : fail(ErrorKind::timed_out, "test", "too late");
  });
  EXPECT_EQ(outcome.done, 0x1000U);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::timed_out);
}

} // namespace
} // namespace vmemfs
