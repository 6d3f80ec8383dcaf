// SPDX-License-Identifier: MIT
// The search for a domain's layout: a quick result at once, the rest in steps.
#pragma once

#include "drivers/xen/memory/foreign_memory.h"
#include "drivers/xen/memory/gfn_scan.h"
#include "drivers/xen/memory/layout.h"
#include "drivers/xen/memory/machine_table.h"
#include "drivers/xen/state/domain_info.h"

#include <cstdint>
#include <memory>

namespace vmemfs::xen {

/// Thread-safe.
class LayoutFinder {
public:
  /// `table` is null except for PV. All arguments outlive the object.
  LayoutFinder(xc_interface* control, const ForeignMemory& memory, const MachineTable* table,
               std::uint32_t domain, DomainKind kind)
      : control_{control}, memory_{memory}, table_{table}, domain_{domain}, kind_{kind} {}

  /// For a PV domain the result is complete, whatever the degree.
  [[nodiscard]] Result<Layout> find(ScanDegree degree) const;

  /// A scan to be done in steps and then passed to finish(). Not for PV, nor if pages are populated on
  /// demand: each page that is tried would be populated.
  [[nodiscard]] Result<GfnScan> begin(ScanDegree degree) const;
  [[nodiscard]] Result<Layout> finish(const GfnRanges& present, std::uint64_t pages, ScanDegree degree) const;

  /// The state of populating on demand.
  struct OnDemand {
    std::uint64_t missing = 0;  ///< pages that the guest owns but that are not populated yet
    std::uint64_t in_stock = 0; ///< pages in the pool from which these are populated
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
