// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/pv_frames.h"

#include "drivers/xen/memory/layout.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <numeric>

namespace vmemfs::xen {
namespace {

/// The guest chooses its frame numbers. Numbers beyond this limit are not accepted, as a table takes 8 bytes
/// for each.
std::uint64_t max_frames(const DomainInfo& domain) {
  return 4 * domain.max_pages + (std::uint64_t{1} << 20U);
}

/// A mapping by libxenguest, kept only while it is copied.
class GuestTable {
public:
  GuestTable(xc_interface* control, std::uint32_t domain)
      : control_{control}, mapped_{xc_map_domain_meminfo(control, domain, &info_) == 0} {}
  GuestTable(const GuestTable&) = delete;
  GuestTable& operator=(const GuestTable&) = delete;
  ~GuestTable() {
    if (mapped_) {
      xc_unmap_domain_meminfo(control_, &info_);
    }
  }

  [[nodiscard]] std::span<const xen_pfn_t> frames() const {
    return mapped_ && info_.p2m_table != nullptr ? std::span<const xen_pfn_t>{info_.p2m_table, info_.p2m_size}
                                                 : std::span<const xen_pfn_t>{};
  }

private:
  xc_interface* control_;
  xc_domain_meminfo info_{};
  bool mapped_;
};

struct Found {
  std::vector<Frame> frames;
  std::uint64_t count = 0;
};

Found from_guest_table(xc_interface* control, const MachineTable& table, const DomainInfo& domain) {
  xen_pfn_t highest = 0;
  if (xc_domain_maximum_gpfn(control, domain.id, &highest) < 0 || highest == 0 ||
      highest >= max_frames(domain)) {
    return {};
  }
  const GuestTable guest{control, domain.id};
  Found found;
  found.frames.assign(guest.frames().begin(), guest.frames().end());
  for (std::size_t gfn = 0; gfn < found.frames.size(); ++gfn) {
    if (table.guest_frame(found.frames[gfn]) == gfn) {
      ++found.count;
    } else {
      found.frames[gfn] = Layout::kNoFrame;
    }
  }
  return found;
}

/// Tries all frames of the host that may belong to the domain.
class HostSearch {
public:
  /// Searches guest frames below `limit`.
  HostSearch(const ForeignMemory& memory, const MachineTable& table, std::uint64_t limit)
      : memory_{memory}, table_{table}, limit_{limit} {}

  Result<Found> run() {
    for (Frame machine = 0; machine < table_.frames(); ++machine) {
      if (table_.guest_frame(machine) < limit_) {
        candidates_[count_++] = machine;
      }
      if (count_ == candidates_.size()) {
        if (auto tried = try_candidates(); !tried) {
          return tl::unexpected{std::move(tried.error())};
        }
      }
    }
    if (auto tried = try_candidates(); !tried) {
      return tl::unexpected{std::move(tried.error())};
    }
    return std::move(found_);
  }

private:
  Result<void> try_candidates() {
    const std::size_t count = std::exchange(count_, 0);
    if (count == 0) {
      return {};
    }
    std::array<int, kBatchPages> errors{};
    const auto pages = memory_.map(std::span{candidates_}.first(count), std::span{errors}.first(count));
    if (!pages) {
      return fail_errno(pages.error(), kOrigin, "cannot find the domain's pages");
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (errors[i] == 0) {
        take(candidates_[i]);
      }
    }
    return {};
  }

  void take(Frame machine) {
    const std::uint64_t gfn = table_.guest_frame(machine);
    if (gfn >= limit_) {
      return; // it has changed in the meantime
    }
    if (gfn >= found_.frames.size()) {
      found_.frames.resize(gfn + 1, Layout::kNoFrame);
    }
    found_.count += found_.frames[gfn] == Layout::kNoFrame ? 1 : 0;
    found_.frames[gfn] = machine;
  }

  const ForeignMemory& memory_;
  const MachineTable& table_;
  const std::uint64_t limit_;
  std::array<Frame, kBatchPages> candidates_{};
  std::size_t count_ = 0;
  Found found_;
};

} // namespace

Result<PvFrames> find_pv_frames(xc_interface* control, const ForeignMemory& memory, const MachineTable& table,
                                const DomainInfo& domain) {
  Found by_guest = from_guest_table(control, table, domain);
  if (by_guest.count >= domain.pages) {
    return PvFrames{std::move(by_guest.frames),
                    "the guest's table of its frames, each checked against the hypervisor's"};
  }
  // Most guests number their frames without gaps, which leaves few frames of the host to try.
  auto by_host = HostSearch{memory, table, domain.max_pages}.run();
  if (by_host && by_host->count < domain.pages) {
    by_host = HostSearch{memory, table, max_frames(domain)}.run();
  }
  if (!by_host) {
    return tl::unexpected{std::move(by_host.error())};
  }
  return PvFrames{std::move(by_host->frames),
                  fmt::format("the hypervisor's table of machine frames; the guest's own has {} of {} pages",
                              by_guest.count, domain.pages)};
}

} // namespace vmemfs::xen
