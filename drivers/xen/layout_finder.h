// SPDX-License-Identifier: MIT
// Finds a domain's layout: as much as can be told at once, and the rest bit by bit.
#pragma once

#include "drivers/xen/domain_info.h"
#include "drivers/xen/foreign_memory.h"
#include "drivers/xen/gfn_scan.h"
#include "drivers/xen/layout.h"
#include "drivers/xen/machine_table.h"

#include <cstdint>
#include <memory>

namespace vmemfs::xen {

/// Thread-safe.
class LayoutFinder {
public:
  /// `table` is null but for PV. All outlive it.
  LayoutFinder(xc_interface* control, const ForeignMemory& memory, const MachineTable* table,
               std::uint32_t domain, DomainKind kind)
      : control_{control}, memory_{memory}, table_{table}, domain_{domain}, kind_{kind} {}

  /// For a PV domain it is complete, whatever the degree.
  [[nodiscard]] Result<Layout> find(ScanDegree degree) const;

  /// To be done bit by bit, and then given to finish(). Not for PV, nor where pages are populated on demand:
  /// each page that is tried would be.
  [[nodiscard]] Result<GfnScan> begin(ScanDegree degree) const;
  [[nodiscard]] Result<Layout> finish(const GfnRanges& present, std::uint64_t pages, ScanDegree degree) const;

  /// What populating on demand has left to do.
  struct OnDemand {
    std::uint64_t missing = 0;  ///< pages that are there for the guest, but not yet populated
    std::uint64_t in_stock = 0; ///< pages that wait to become these
  };
  [[nodiscard]] OnDemand on_demand() const;

private:
  [[nodiscard]] Result<Layout> find_pv(const DomainInfo& info) const;
  [[nodiscard]] Result<Layout> by_size(const DomainInfo& info, const OnDemand& on_demand) const;
  [[nodiscard]] Result<std::uint64_t> end_of_frames() const;
  [[nodiscard]] std::vector<std::uint64_t> special_pages() const;
  Result<void> probe(std::span<const Frame> frames, std::span<bool> present) const;

  xc_interface* control_;
  const ForeignMemory& memory_;
  const MachineTable* table_;
  std::uint32_t domain_;
  DomainKind kind_;
};

} // namespace vmemfs::xen
