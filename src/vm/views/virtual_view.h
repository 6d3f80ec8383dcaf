// SPDX-License-Identifier: MIT
// Guest memory as the page tables of one vCPU show it: offsets are virtual addresses without their top bit.
#pragma once

#include "arch/mapped_ranges.h"
#include "core/error.h"
#include "util/mutex.h"
#include "vm/guest.h"
#include "vm/memory/read_scratch.h"
#include "vm/views/virtual_paging.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs {

/// Offsets are signed, so an address has 63 bits in one. Its top bit is that of bit 62: that is so of all
/// canonical addresses.
[[nodiscard]] constexpr std::uint64_t virtual_address(std::uint64_t offset) {
  return offset | ((offset << 1U) & (std::uint64_t{1} << 63U));
}
[[nodiscard]] constexpr std::uint64_t offset_of_virtual(std::uint64_t address) {
  return address & ~(std::uint64_t{1} << 63U);
}

/// Thread-safe. The control registers are read at each read, or once for each epoch in which the guest cannot
/// run. Page tables are walked at each read: nothing of them is kept.
class VirtualView {
public:
  /// The guest outlives the view.
  VirtualView(Guest& guest, VcpuId vcpu) : guest_{guest}, vcpu_{vcpu} {}

  /// The reason why no vCPU of this guest can be shown; waits for nobody.
  [[nodiscard]] static Result<void> check(Guest& guest);

  /// Reads [offset, offset + size), at most AddressSpace::kMaxRead bytes, into scratch.data(). Returns fewer
  /// bytes at an address that is not mapped, or is mapped to what cannot be read; hole: the first one is such
  /// an address. Other failures are those of reading the registers, or source_failed.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          ReadScratch& scratch);

  /// All that is mapped; takes a second at most if the guest's memory answers. What the tables that the
  /// source fails to read map is listed as not searched; if that is the root, the call fails.
  [[nodiscard]] Result<std::vector<MappedRange>> mapped_ranges(const ListLimits& limits = {});

private:
  [[nodiscard]] Result<VirtualPaging> paging() EXCLUDES(mutex_);
  [[nodiscard]] Result<VirtualPaging> read_paging();

  struct Known {
    std::uint64_t epoch;
    VirtualPaging paging;
  };

  Guest& guest_;
  const VcpuId vcpu_;
  Mutex mutex_; ///< leaf; not held while registers are read
  std::optional<Known> known_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
