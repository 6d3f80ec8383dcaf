// SPDX-License-Identifier: MIT
// Paging of a vCPU, of each architecture with page tables that can be walked by its registers.
#pragma once

#include "arch/mapped_ranges.h"
#include "arch/read_entry.h"
#include "arch/riscv64/paging.h"
#include "arch/x86_64/paging.h"
#include "core/error.h"
#include "core/register_set.h"

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

namespace vmemfs {

using VirtualPaging = std::variant<x86_64::Paging, riscv64::Paging>;

/// Whether this is an architecture of the variant.
[[nodiscard]] bool has_known_paging(const RegisterLayout& layout);

/// Whether the set has the registers that virtual_paging_of() needs, whatever their values.
[[nodiscard]] bool can_have_virtual_paging(const RegisterSet& registers);

/// unsupported: the registers do not say.
[[nodiscard]] Result<VirtualPaging> virtual_paging_of(const RegisterSet& registers);

/// One virtual address in the page that maps it.
struct VirtualPage {
  Gpa gpa;
  std::uint64_t left; ///< bytes from here to the end of the page
};

/// nullopt: not mapped, or a table cannot be read.
[[nodiscard]] std::optional<VirtualPage> translate(const VirtualPaging& paging, std::uint64_t address,
                                                   const ReadEntry& read);

[[nodiscard]] std::vector<MappedRange> list_mapped(const VirtualPaging& paging, const ReadTable& read,
                                                   const ListLimits& limits = {});

} // namespace vmemfs
