// SPDX-License-Identifier: MIT
// Target description: the registers of a target, and their numbers and sizes, as XML of the server.
//
// Source: "Target Descriptions" in GDB's manual. A description may include others by xi:include. Registers
// are numbered in the order of the text, from 0, or from the last `regnum`. The text is not trusted: its
// size, the included ones and the registers are limited.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::gdbstub {

struct TargetRegister {
  std::string name; ///< not trusted
  std::uint32_t number;
  std::uint32_t bits; ///< a multiple of 8

  friend bool operator==(const TargetRegister&, const TargetRegister&) = default;
};

struct TargetDescription {
  std::string architecture{}; ///< as GDB calls it, such as "i386:x86-64"; not trusted, may be empty
  std::vector<TargetRegister> registers{}; ///< sorted by number, each number once
};

inline constexpr std::size_t kMaxDescriptionBytes = std::size_t{1} << 20;

/// Gives the text of an included description.
using FetchDescription = std::function<Result<std::string>(const std::string& name)>;

/// source_failed: malformed, or over a limit; errors of `fetch` are passed on.
[[nodiscard]] Result<TargetDescription> parse_target_description(std::string_view text,
                                                                 const FetchDescription& fetch);

/// Architecture as in uname -m, such as "x86_64"; empty: not known. `architecture`: as GDB calls it.
[[nodiscard]] std::string_view machine_of(std::string_view architecture);

} // namespace vmemfs::gdbstub
