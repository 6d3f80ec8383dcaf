// SPDX-License-Identifier: MIT
// The handshake: QEMU's greeting and our answer.
#pragma once

#include "core/error.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs::kvmi {

/// What QEMU says of its VM; not trusted.
struct Greeting {
  std::string uuid;            ///< as printed, in lower case
  std::int64_t start_time = 0; ///< Unix seconds; 0: unknown
  std::string name;            ///< may be empty
  std::uint64_t max_gpa = 0;   ///< end of the highest RAM; 0: it does not say

  friend bool operator==(const Greeting&, const Greeting&) = default;
};

/// The size is at the begin, in four bytes.
inline constexpr std::size_t kGreetingSizeField = 4;
/// More than this is ignored.
inline constexpr std::size_t kGreetingKnown = 104;

/// The size of a whole greeting, from its first four bytes. source_failed: not one that QEMU may send.
[[nodiscard]] Result<std::size_t> greeting_size(std::span<const std::byte, kGreetingSizeField> field);

/// `bytes` are the whole greeting or at least the first kGreetingKnown of it; what is missing counts as
/// zeros.
[[nodiscard]] Greeting parse_greeting(std::span<const std::byte> bytes);

inline constexpr std::size_t kAnswerSize = 24;
/// The answer: its size, and the SHA-1 of the secret or zeros.
[[nodiscard]] std::array<std::byte, kAnswerSize> greeting_answer(std::string_view secret);

} // namespace vmemfs::kvmi
