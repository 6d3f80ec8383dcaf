// SPDX-License-Identifier: MIT
// The kallsyms tables of a Linux kernel: where they lie in its image, and what they say.
//
// Format: scripts/kallsyms.c and kernel/kallsyms.c of the kernel, which has no description of it. It has
// changed several times, so the tables are not believed by version but by how they fit together:
//
//   names         a length (one byte, or since 6.1 two if the first has its top bit set) and so many tokens
//   markers       u32: where each 256th name begins in `names`
//   token_table   256 texts, each ended by a zero byte; a name is its tokens' texts, its first letter nm's
//   type token_index   u16: where each text begins in `token_table` offsets       s32 for each symbol;
//   relative_base, u64, is added
//
// Up to 6.3: offsets, relative_base, num_syms, names, markers, token_table, token_index. Since 6.4: num_syms,
// names, markers, token_table, token_index, offsets, relative_base. Since 7.0 each offset is from its own
// place, without a base. Some have a table of 3 bytes a symbol (seqs_of_names) before token_table.
#pragma once

#include "core/error.h"
#include "linux/kernel_memory.h"
#include "linux/symbols/image_range.h"
#include "linux/symbols/kernel_symbols.h"

#include <memory>

namespace vmemfs {

/// Searches the image for tables that fit together, and decodes them. The memory is the guest's, so it can
/// say anything: time and memory are bounded (some 30 MiB). no_data: there are no such tables.
/// timed_out: the limit of the calling thread's work is reached.
[[nodiscard]] Result<std::shared_ptr<const KernelSymbols>> read_kallsyms(KernelMemory& memory,
                                                                         KernelImageRange image);

} // namespace vmemfs
