// SPDX-License-Identifier: MIT
// State of a guest, as the file `info` of its directory shows it.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

struct GuestInfo {
  std::string name{};
  std::string uuid{};
  std::string driver{};
  std::string state{};            ///< "running", "paused", ..., "saved": memory that cannot change
  std::string before_attaching{}; ///< state before that, which may have stopped it; empty: it stops nothing
  std::uint64_t epoch = 0;
  std::uint64_t refused_reads = 0;          ///< of pages that the source refuses; they read as zeros
  std::vector<std::string> refused_pages{}; ///< their addresses, as "0x1000"; not all if there are many

  [[nodiscard]] bool is_saved() const { return state == "saved"; }
  [[nodiscard]] bool is_running() const { return state == "running"; }
};

inline constexpr std::size_t kMaxGuestInfo = std::size_t{1} << 20U; ///< bytes of the file

/// invalid: not such a text, or one that is nested deeper than any of vmemfs.
[[nodiscard]] Result<GuestInfo> parse_guest_info(std::string_view json);

} // namespace vmemfs
