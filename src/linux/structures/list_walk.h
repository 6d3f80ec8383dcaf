// SPDX-License-Identifier: MIT
// A walk along a list (list_head) of a kernel that may change it meanwhile.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/structures/structure_copy.h"
#include "util/work_limit.h"

#include <cstddef>
#include <cstdint>
#include <unordered_set>

namespace vmemfs {

/// A structure that is an element of a list. Offsets in bytes, within it.
struct ListElement {
  std::uint64_t size;
  std::uint64_t next; ///< of its list_head
  std::uint64_t prev;
};

/// Calls visit(address, copy) with each element of the list at `head`, at most `max`, until it returns false.
/// Returns whether these were all: false too if an element does not point back to the one before, which a
/// list that changes does not for a moment, cannot be read, or comes twice, and at the limit of the thread's
/// work.
template <typename Visit> [[nodiscard]] bool walk_list(KernelMemory& memory, const ListElement& element,
                                                       std::uint64_t head, std::size_t max, Visit&& visit) {
  constexpr std::uint64_t kPrevious = 8; // list_head.prev
  std::unordered_set<std::uint64_t> seen;
  std::uint64_t before = head;
  auto next = memory.value<std::uint64_t>(head);
  while (next && *next != head && seen.size() < max && !WorkLimit::over()) {
    const std::uint64_t address = *next - element.next;
    const auto copy = StructureCopy::read(memory, address, element.size);
    if (!copy || copy->pointer(element.prev) != before || !seen.insert(*next).second ||
        memory.value<std::uint64_t>(before) != next || !visit(address, *copy)) {
      return false;
    }
    before = *next;
    next = copy->pointer(element.next);
  }
  return next == head && memory.value<std::uint64_t>(head + kPrevious) == before;
}

} // namespace vmemfs
