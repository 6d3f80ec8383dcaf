// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/gfn_scan.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace vmemfs::xen {
namespace {

constexpr std::uint64_t kBlock = 512; ///< 2 MiB: the size of a large page, and usually what a balloon takes
constexpr std::uint64_t kBlocksOfAStep = 32;

void append(GfnRanges& ranges, GfnRange range) {
  if (!ranges.empty() && ranges.back().end == range.begin) {
    ranges.back().end = range.end;
  } else {
    ranges.push_back(range);
  }
}

} // namespace

Result<void> GfnScan::probe_each(GfnRange range) {
  std::array<Frame, kBatchPages> frames{};
  std::array<bool, kBatchPages> found{};
  for (std::uint64_t at = range.begin; at < range.end; at += kBatchPages) {
    const std::size_t count = std::min<std::uint64_t>(kBatchPages, range.end - at);
    std::iota(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(count), at);
    if (auto asked = probe_(std::span{frames}.first(count), std::span{found}.first(count)); !asked) {
      return asked;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (found[i]) {
        xen::append(present_, at + i);
      }
    }
  }
  return {};
}

Result<bool> GfnScan::step() {
  const GfnRange here{next_, std::min(next_ + kBlock * kBlocksOfAStep, end_)};
  std::array<Frame, 2 * kBlocksOfAStep> samples{};
  std::array<bool, 2 * kBlocksOfAStep> found{};
  std::size_t count = 0;
  for (std::uint64_t block = here.begin; block < here.end; block += kBlock) {
    samples[count++] = block;
    samples[count++] = std::min(block + kBlock, here.end) - 1;
  }
  if (count > 0) {
    if (auto asked = probe_(std::span{samples}.first(count), std::span{found}.first(count)); !asked) {
      return tl::unexpected{std::move(asked.error())};
    }
  }
  for (std::size_t i = 0; i < count; i += 2) {
    const GfnRange block{samples[i], samples[i + 1] + 1};
    const bool any = found[i] || found[i + 1];
    const bool differ = found[i] != found[i + 1];
    const bool has_vga_hole = block.begin == 0;
    if (degree_ == ScanDegree::all || differ || (any && (degree_ == ScanDegree::pages || has_vga_hole))) {
      if (auto probed = probe_each(block); !probed) {
        return tl::unexpected{std::move(probed.error())};
      }
    } else if (any) {
      append(present_, block);
    }
  }
  next_ = here.end;
  return next_ >= end_;
}

Result<GfnRanges> GfnScan::run() {
  for (;;) {
    const auto through = step();
    if (!through) {
      return tl::unexpected{through.error()};
    }
    if (*through) {
      return present_;
    }
  }
}

} // namespace vmemfs::xen
