// SPDX-License-Identifier: MIT
// Paging of a riscv64 hart: virtual to physical addresses, by satp and the privilege mode.
//
// Format: the RISC-V privileged specification, "Sv39", "Sv48" and "Sv57", with Svnapot and Svpbmt. The second
// stage of guests of the hypervisor extension (hgatp) is not walked.
#pragma once

#include "arch/mapped_address.h"
#include "arch/mapped_ranges.h"
#include "arch/read_entry.h"
#include "core/gpa.h"
#include "core/register_set.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs::riscv64 {

enum class PagingMode : std::uint8_t {
  none, ///< of machine mode, or by satp: an address is a physical one
  sv39,
  sv48,
  sv57,
};

/// Of a hart at one instant.
struct Paging {
  PagingMode mode = PagingMode::none;
  Gpa root{}; ///< of the page tables

  friend bool operator==(const Paging&, const Paging&) = default;
};

/// nullopt: the set does not say, is of another architecture, or satp has a mode that is not known; or the
/// hart runs a guest of its own (bit 2 of priv). If priv is absent, it is taken for supervisor or user mode.
[[nodiscard]] std::optional<Paging> paging_of(const RegisterSet& registers);

/// Whether the set has the registers that paging_of() needs, whatever their values.
[[nodiscard]] bool can_have_paging(const RegisterSet& registers);

/// Walks the page tables. They are the guest's and can say anything: there is at most one call of `read` for
/// each level. nullopt: not mapped, not canonical, an entry with reserved bits, or a table that cannot be
/// read.
[[nodiscard]] std::optional<MappedAddress> translate(const Paging& paging, std::uint64_t address,
                                                     const ReadEntry& read);

[[nodiscard]] std::vector<MappedRange> list_mapped(const Paging& paging, const ReadTable& read,
                                                   const ListLimits& limits = {});

} // namespace vmemfs::riscv64
