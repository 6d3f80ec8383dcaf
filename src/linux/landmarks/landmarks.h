// SPDX-License-Identifier: MIT
// Places in a kernel's image that its symbols name if it has those of data (CONFIG_KALLSYMS_ALL), found there
// by what they have. Debian's 6.1 for arm64 is one without.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/kernel_memory.h"
#include "linux/landmarks/system_names.h"
#include "linux/symbols/image_range.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/tasks/task_layout.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace vmemfs {

/// Whether the symbols are those of data too, and not only of code.
[[nodiscard]] bool names_data(const KernelSymbols& symbols);

// All of these read the whole image at most once, and end early when the limit of the calling thread's work
// is reached.

/// linux_banner: the version text of these names, which ends with a newline. Some images have another one,
/// without the number of the build. Constants come before all that may have copies of it, so the first one
/// counts.
[[nodiscard]] std::optional<std::uint64_t> find_banner(KernelMemory& memory, KernelImageRange image,
                                                       const SystemNames& names);

/// The kernel's types: the first BTF that is right to its last byte and has processes. no_data: there is
/// none. timed_out.
[[nodiscard]] Result<std::shared_ptr<const btf::Types>> find_types(KernelMemory& memory,
                                                                   KernelImageRange image);

/// init_task: the only process 0 that is its own parent. nullopt: there is none, or several.
[[nodiscard]] std::optional<std::uint64_t> find_idle_task(KernelMemory& memory, KernelImageRange image,
                                                          const TaskLayout& layout);

/// The first aligned variable that points to `target`.
[[nodiscard]] std::optional<std::uint64_t> find_pointer(KernelMemory& memory, KernelImageRange image,
                                                        std::uint64_t target);

} // namespace vmemfs
