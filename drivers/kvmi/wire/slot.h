// SPDX-License-Identifier: MIT
// QUERY_PHYSICAL: the question for the memory slot of a frame, and the reply.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/kvmi/wire/bytes.h"

#include <array>
#include <cstddef>
#include <span>

namespace vmemfs::kvmi {

inline constexpr std::size_t kSlotHeadSize = 8;
inline constexpr std::size_t kSlotReplySize = 16;

[[nodiscard]] inline std::array<std::byte, kSlotHeadSize> slot_head(Gpa page) {
  std::array<std::byte, kSlotHeadSize> head{};
  store_le<std::uint64_t>(head, 0, page.value() / kPageSize);
  return head;
}

/// `data` after the status: the first frame and the number of pages. source_failed: too short, empty, or
/// beyond what addresses can be.
[[nodiscard]] inline Result<GpaRange> parse_slot_reply(std::span<const std::byte> data) {
  constexpr std::uint64_t kFrames = kGpaLimit / kPageSize;
  constexpr std::size_t kPagesAt = 8;
  if (data.size() < kSlotReplySize) {
    return fail(ErrorKind::source_failed, "kvmi", "the VM gave a memory slot in too few bytes");
  }
  const auto first = load_le<std::uint64_t>(data, 0);
  const auto pages = load_le<std::uint64_t>(data, kPagesAt);
  if (pages == 0 || first >= kFrames || pages > kFrames - first) {
    return fail(ErrorKind::source_failed, "kvmi", "the VM gave a memory slot that cannot be");
  }
  return GpaRange{Gpa{first * kPageSize}, Gpa{(first + pages) * kPageSize}};
}

} // namespace vmemfs::kvmi
