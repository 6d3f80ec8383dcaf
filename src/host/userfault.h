// SPDX-License-Identifier: MIT
// Ranges with a userfaultfd handler that supplies missing pages: post-copy migration, lazy restore of
// snapshots. A missing page there is neither zero nor in the file.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vmemfs {

/// The ranges of a /proc/PID/smaps text that have the flag `um` (missing pages are handled).
[[nodiscard]] Result<std::vector<HvaRange>> parse_userfault_ranges(std::string_view smaps);

/// The same for a process. Reads smaps (milliseconds per GiB) only if the process has a userfaultfd open;
/// empty if that is not visible. The caller calls ProcessSpace::check_current() afterwards.
[[nodiscard]] Result<std::vector<HvaRange>> userfault_ranges(const ProcessSpace& space);

/// Whether a process has a userfaultfd open, however long ago its ranges were read. Thread-safe.
class UserfaultWatch {
public:
  /// As of at most kMaxAge ago, or now if it asks. True if that is not visible, or there are too many
  /// descriptors to look at.
  [[nodiscard]] bool any(const ProcessSpace& space);

private:
  static constexpr std::int64_t kMaxAgeNs = 50'000'000;

  std::atomic<std::int64_t> checked_ns_{0}; ///< 0: never
  std::atomic<bool> found_{true};
};

} // namespace vmemfs
