// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/gfn_scan.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

namespace vmemfs::xen {
namespace {

/// A domain that has pages in these ranges, and how many were tried.
struct Pages {
  GfnRanges ranges;
  std::size_t tried = 0;
  std::size_t largest_call = 0;

  Probe probe() {
    return [this](std::span<const Frame> frames, std::span<bool> present) -> Result<void> {
      tried += frames.size();
      largest_call = std::max(largest_call, frames.size());
      std::ranges::transform(frames, present.begin(), [&](Frame frame) {
        return std::ranges::any_of(
            ranges, [&](const GfnRange& range) { return range.begin <= frame && frame < range.end; });
      });
      return {};
    };
  }
};

/// As a PVH domain of 32 MiB: frame numbers up to 4 GiB.
const GfnRanges kSmallPvh{{0, 0x2000}, {0xfc000, 0xfc009}, {0xfeff8, 0xff000}};
constexpr std::uint64_t kSmallPvhEnd = 0xff000;

TEST(GfnScan, SamplesFindWhatTheToolstackLaysOut) {
  Pages pages{kSmallPvh};
  EXPECT_EQ(GfnScan(pages.probe(), kSmallPvhEnd, ScanDegree::samples).run().value(), kSmallPvh);
  EXPECT_LT(pages.tried, 8000U); // of a million
  EXPECT_LE(pages.largest_call, kBatchPages);
}

TEST(GfnScan, SamplesFindTheVgaHole) {
  const GfnRanges hvm{{0, 0xa0}, {0xc0, 0x4000}, {0xfeff0, 0xff000}};
  Pages pages{hvm};
  EXPECT_EQ(GfnScan(pages.probe(), 0xff000, ScanDegree::samples).run().value(), hvm);
}

TEST(GfnScan, SamplesFindMemoryAbove4Gib) {
  const GfnRanges large{{0, 0xfc009}, {0xfeff8, 0xff000}, {0x100000, 0x124000}};
  Pages pages{large};
  EXPECT_EQ(GfnScan(pages.probe(), 0x124000, ScanDegree::samples).run().value(), large);
}

TEST(GfnScan, PagesFindWhatWasBalloonedOut) {
  const GfnRanges ballooned{{0, 0x1000}, {0x1001, 0x1804}, {0x1900, 0x2000}};
  Pages pages{ballooned};
  EXPECT_NE(GfnScan(pages.probe(), kSmallPvhEnd, ScanDegree::samples).run().value(), ballooned);
  EXPECT_EQ(GfnScan(pages.probe(), kSmallPvhEnd, ScanDegree::pages).run().value(), ballooned);
}

TEST(GfnScan, AllFindASinglePageInNowhere) {
  const GfnRanges stray{{0, 0x2000}, {0x8123, 0x8124}, {0x8800, 0x8801}};
  Pages pages{stray};
  EXPECT_NE(GfnScan(pages.probe(), 0x10000, ScanDegree::pages).run().value(), stray);
  pages.tried = 0;
  EXPECT_EQ(GfnScan(pages.probe(), 0x10000, ScanDegree::all).run().value(), stray);
  EXPECT_LE(pages.tried, 0x10000U + 0x10000U / 256);
}

TEST(GfnScan, AnEndInTheMiddleOfABlockIsNotPassed) {
  Pages pages{{{0, 0x1000}}};
  for (const std::uint64_t end : {1U, 2U, 511U, 513U, 0x4001U}) {
    const auto found = GfnScan(pages.probe(), end, ScanDegree::pages).run().value();
    EXPECT_EQ(found, (GfnRanges{{0, std::min<std::uint64_t>(end, 0x1000)}})) << end;
  }
  EXPECT_TRUE(GfnScan(pages.probe(), 0, ScanDegree::all).run().value().empty());
}

TEST(GfnScan, StepsComeToTheSame) {
  Pages pages{kSmallPvh};
  GfnScan scan{pages.probe(), kSmallPvhEnd, ScanDegree::pages};
  int steps = 1;
  while (!scan.step().value()) {
    ++steps;
  }
  EXPECT_EQ(scan.present(), kSmallPvh);
  EXPECT_GT(steps, 50);
}

TEST(GfnScan, AFailureEndsIt) {
  int calls = 0;
  GfnScan scan{[&](auto, auto) -> Result<void> {
                 return ++calls == 3 ? Result<void>{fail(ErrorKind::vm_gone, "test", "gone")}
                                     : Result<void>{};
               },
               kSmallPvhEnd, ScanDegree::samples};
  const auto found = scan.run();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::vm_gone);
}

} // namespace
} // namespace vmemfs::xen
