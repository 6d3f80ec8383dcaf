// SPDX-License-Identifier: MIT
// The ring of all processes of a kernel, in memory that does not change: whether it closes.
#pragma once

#include "core/error.h"
#include "linux/kernel_memory.h"
#include "linux/tasks/task_layout.h"

#include <cstdint>

namespace vmemfs {

/// Whether the ring from the idle task at `init_task` leads back there, in one of its directions, over
/// processes only. At most one in kMaxTornShare elements may not point back to the one before it: the tool
/// that copied the memory may have done so while processes began and ended. no_data: what is wrong.
/// timed_out: the limit of the calling thread's work is reached.
[[nodiscard]] Result<void> check_task_ring(KernelMemory& memory, const TaskLayout& layout,
                                           std::uint64_t init_task);

inline constexpr unsigned kMaxTornShare = 8;

} // namespace vmemfs
