// Ranges whose missing pages somebody else supplies (userfaultfd): post-copy migration, lazy restore
// of snapshots. What is missing there is neither zero nor in the file.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process.h"

#include <string_view>
#include <vector>

namespace vmemfs {

/// The ranges of a /proc/PID/smaps text that have the flag `um` (missing pages are handled).
[[nodiscard]] Result<std::vector<HvaRange>> parse_userfault_ranges(std::string_view smaps);

/// The same of a process. Looks at smaps (which takes milliseconds per GiB) only where the process has
/// a userfaultfd open; empty where that can't be seen.
[[nodiscard]] Result<std::vector<HvaRange>> userfault_ranges(const Process& process);

} // namespace vmemfs
