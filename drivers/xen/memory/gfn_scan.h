// SPDX-License-Identifier: MIT
// A scan for the frame numbers of a PVH or HVM domain that have a page, by trying to map them.
//
// The hypervisor has no list of them, and the numbers reach past 4 GiB even for a small domain. Trying all of
// them takes seconds, so there are three degrees, and each can be done in steps.
#pragma once

#include "core/error.h"
#include "drivers/xen/memory/layout.h"

#include <functional>
#include <span>

namespace vmemfs::xen {

enum class ScanDegree : unsigned char {
  samples, ///< the first and the last page of each 2 MiB; if they differ, all between. Milliseconds
  pages,   ///< all pages of each 2 MiB where a sample has a page: finds ballooned pages
  all,     ///< all pages: also finds single pages far from others
};

/// Sets for each frame whether it has a page. Called for up to kBatchPages frames at a time.
using Probe = std::function<Result<void>(std::span<const Frame> frames, std::span<bool> present)>;

/// One scan, of frames below `end`. For one thread.
class GfnScan {
public:
  GfnScan(Probe probe, std::uint64_t end, ScanDegree degree)
      : probe_{std::move(probe)}, end_{end}, degree_{degree} {}

  /// Scans the next 64 MiB of frame numbers. True when the scan is complete.
  [[nodiscard]] Result<bool> step();

  /// Scans to the end.
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
