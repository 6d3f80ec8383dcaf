// SPDX-License-Identifier: MIT
// Finds out which frame numbers of a PVH or HVM domain have a page, by trying to map them.
//
// The hypervisor lists them for nobody, and the numbers reach past 4 GiB however small the domain is. Trying
// all of them takes seconds, so there are three degrees, and any of them can be done bit by bit.
#pragma once

#include "core/error.h"
#include "drivers/xen/layout.h"

#include <functional>
#include <span>

namespace vmemfs::xen {

enum class ScanDegree : unsigned char {
  samples, ///< the first and the last page of each 2 MiB; where they differ, all between. Milliseconds
  pages,   ///< all pages of each 2 MiB that has one of the samples: finds what was ballooned out
  all,     ///< all pages: finds single ones that lie somewhere in nowhere
};

/// Sets for each frame whether it has a page. Called for up to kBatchPages frames at a time.
using Probe = std::function<Result<void>(std::span<const Frame> frames, std::span<bool> present)>;

/// One scan, of frames below `end`. For one thread.
class GfnScan {
public:
  GfnScan(Probe probe, std::uint64_t end, ScanDegree degree)
      : probe_{std::move(probe)}, end_{end}, degree_{degree} {}

  /// Goes on by 64 MiB of frame numbers. True when it is through.
  [[nodiscard]] Result<bool> step();

  /// To the end.
  [[nodiscard]] Result<GfnRanges> run();

  [[nodiscard]] const GfnRanges& present() const { return present_; }

private:
  Result<void> probe_each(GfnRange range);

  Probe probe_;
  std::uint64_t end_;
  ScanDegree degree_;
  std::uint64_t next_ = 0;
  GfnRanges present_;
};

} // namespace vmemfs::xen
