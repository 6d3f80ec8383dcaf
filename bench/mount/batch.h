// SPDX-License-Identifier: MIT
// Comparison of scattered reads by `batch` with a pread of `mem` for each of them.
#pragma once

#include "measure.h"

#include <string>
#include <vector>

namespace vmemfs::bench {

/// Medians over the rounds; the two ways take turns within each.
struct BatchFigures {
  double preads_us = 0;    ///< one read for each of kBatchRanges random ranges
  double batch_us = 0;     ///< a request and its answer, of other ranges each time
  double poll_us = 0;      ///< the answer to the same request again
  double ratio = 0;        ///< preads / batch, within the rounds
  double native_us = 0;    ///< preads of `native` instead
  double native_ratio = 0; ///< these / batch, within the rounds
};

inline constexpr std::size_t kBatchRanges = 1000;

/// `vm`: its directory in a mount. `length`: of each range, which begins on a page. The VM is paused: both
/// ways must give the same bytes. `native`: the same memory without a mount; may be null.
[[nodiscard]] BatchFigures compare_batch(const std::string& vm, const MakeTarget& native, const Area& area,
                                         std::size_t length, int rounds);

} // namespace vmemfs::bench
