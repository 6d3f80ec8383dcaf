// SPDX-License-Identifier: MIT
// The page tables of a Linux kernel, of each architecture that is known.
#pragma once

#include "arch/aarch64/page_walk.h"
#include "arch/read_entry.h"
#include "arch/x86_64/paging_mode.h"
#include "core/gpa.h"

#include <cstdint>
#include <optional>
#include <variant>

namespace vmemfs {

/// With the root of the kernel's own tables.
using KernelPaging = std::variant<x86_64::Paging, aarch64::Paging>;

/// A virtual address in physical memory.
struct KernelPlace {
  Gpa gpa;
  std::uint64_t left; ///< bytes from here on that are contiguous
};

/// Walks the tables, which can say anything; see translate() of the architecture. nullopt: not mapped, or a
/// table cannot be read.
[[nodiscard]] std::optional<KernelPlace> walk(const KernelPaging& paging, std::uint64_t address,
                                              const ReadEntry& read);

/// The tables of a process of that kernel.
[[nodiscard]] KernelPaging paging_of_process(const KernelPaging& kernel, Gpa root);

[[nodiscard]] Gpa root_of(const KernelPaging& paging);
[[nodiscard]] unsigned levels_of(const KernelPaging& paging); ///< of tables

} // namespace vmemfs
