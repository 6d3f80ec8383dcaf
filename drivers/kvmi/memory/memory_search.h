// SPDX-License-Identifier: MIT
// Search for a VM's memory in the best way that its peer has: QUERY_PHYSICAL, or else trying pages.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/kvmi/link/session.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace vmemfs::kvmi {

/// A search takes no longer, however slowly the VM answers.
inline constexpr std::chrono::seconds kMaxSearchTime{60};

struct FoundMemory {
  std::vector<GpaRange> ranges; ///< below the end, sorted and apart from each other
  std::string how;              ///< for `info`
};

/// If the answers to QUERY_PHYSICAL cannot be used, pages are tried.
[[nodiscard]] Result<FoundMemory> search_memory(Session& session, std::uint64_t end);

} // namespace vmemfs::kvmi
