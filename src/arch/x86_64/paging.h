// SPDX-License-Identifier: MIT
// Paging of an x86 vCPU in all its modes: virtual to physical addresses, by its control registers.
#pragma once

#include "arch/mapped_address.h"
#include "arch/read_entry.h"
#include "arch/x86_64/paging_mode.h"
#include "core/gpa.h"
#include "core/register_set.h"

#include <cstdint>
#include <optional>

namespace vmemfs::x86_64 {

using vmemfs::MappedAddress;
using vmemfs::ReadEntry;

/// nullopt: the set does not say, or is of another architecture. If EFER is absent, as in some dumps, it is
/// long mode if anything shows it: 64-bit code in CS, PCIDs, or an address above 4 GiB in RIP, RSP, R8 to R15
/// or of a descriptor table. Else it is taken for PAE.
/// With CR3 alone, without CR0 and CR4, it is long mode with four levels and NX: such sets are those of crash
/// dumps of 64-bit Windows, which does not run without paging. Five levels look like four there.
[[nodiscard]] std::optional<Paging> paging_of(const RegisterSet& registers);

/// Whether the set has the registers that paging_of() needs, whatever their values.
[[nodiscard]] bool can_have_paging(const RegisterSet& registers);

/// Walks the page tables. They are the guest's and can say anything: there is at most one call of `read` for
/// each level. nullopt: not mapped, not canonical, an entry with reserved bits that every CPU refuses, or a
/// table that cannot be read.
[[nodiscard]] std::optional<MappedAddress> translate(const Paging& paging, std::uint64_t address,
                                                     const ReadEntry& read);

} // namespace vmemfs::x86_64
