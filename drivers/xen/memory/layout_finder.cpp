// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/layout_finder.h"

#include "drivers/xen/memory/pv_frames.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::xen {
namespace {

constexpr std::uint64_t k4Gib = 0x100000; ///< frames

/// Frames that have a parameter.
constexpr std::array kSpecialParams{
    HVM_PARAM_STORE_PFN,       HVM_PARAM_CONSOLE_PFN,      HVM_PARAM_IOREQ_PFN,       HVM_PARAM_BUFIOREQ_PFN,
    HVM_PARAM_PAGING_RING_PFN, HVM_PARAM_MONITOR_RING_PFN, HVM_PARAM_SHARING_RING_PFN};

std::string_view describe(ScanDegree degree) {
  switch (degree) {
  case ScanDegree::samples:
    return "two pages of each 2 MiB tried, all if they differ; a closer scan is running";
  case ScanDegree::pages: return "all pages tried in each 2 MiB that has one at either end";
  case ScanDegree::all: return "all frame numbers tried";
  }
  return "";
}

} // namespace

Result<void> LayoutFinder::probe(std::span<const Frame> frames, std::span<bool> present) const {
  std::array<int, kBatchPages> errors{};
  const auto pages = memory_.map(frames, std::span{errors}.first(frames.size()));
  if (!pages) {
    return fail_errno(pages.error(), kOrigin, "cannot find out where the domain has memory");
  }
  std::ranges::transform(std::span{errors}.first(frames.size()), present.begin(),
                         [](int error) { return error == 0; });
  return {};
}

LayoutFinder::OnDemand LayoutFinder::on_demand() const {
  OnDemand state;
  std::uint64_t all = 0;
  if (kind_ == DomainKind::pv ||
      xc_domain_get_pod_target(control_, domain_, &all, &state.in_stock, &state.missing) != 0) {
    return {};
  }
  return state;
}

Result<std::uint64_t> LayoutFinder::end_of_frames() const {
  xen_pfn_t highest = 0;
  if (xc_domain_maximum_gpfn(control_, domain_, &highest) < 0) {
    return fail_errno(errno, kOrigin, "cannot get the domain's highest frame");
  }
  return highest + 1;
}

std::vector<std::uint64_t> LayoutFinder::special_pages() const {
  std::vector<std::uint64_t> pages;
  for (const auto param : kSpecialParams) {
    std::uint64_t value = 0;
    if (xc_hvm_param_get(control_, domain_, static_cast<std::uint32_t>(param), &value) == 0 && value != 0) {
      pages.push_back(value);
    }
  }
  return pages;
}

Result<Layout> LayoutFinder::find(ScanDegree degree) const {
  const auto info = domain_info(control_, domain_);
  if (!info) {
    return tl::unexpected{info.error()};
  }
  if (kind_ == DomainKind::pv) {
    return find_pv(*info);
  }
  if (const OnDemand left = on_demand(); left.missing > 0) {
    return by_size(*info, left);
  }
  auto scan = begin(degree);
  if (!scan) {
    return tl::unexpected{scan.error()};
  }
  const auto present = scan->run();
  if (!present) {
    return tl::unexpected{present.error()};
  }
  if (degree == ScanDegree::pages && count_of(*present) < info->pages) {
    return find(ScanDegree::all);
  }
  return finish(*present, info->pages, degree);
}

Result<Layout> LayoutFinder::find_pv(const DomainInfo& info) const {
  auto frames = find_pv_frames(control_, memory_, *table_, info);
  if (!frames) {
    return tl::unexpected{frames.error()};
  }
  auto layout = pv_layout(std::move(frames->machine_frames));
  if (layout) {
    layout->pages = info.pages;
    layout->source = std::move(frames->source);
  }
  return layout;
}

/// Main memory as the toolstack places it, without trying a page. Memory above it is left out.
Result<Layout> LayoutFinder::by_size(const DomainInfo& info, const OnDemand& on_demand) const {
  const auto end = end_of_frames();
  if (!end) {
    return tl::unexpected{end.error()};
  }
  constexpr GfnRange kVgaHole{0xa0, 0xc0};
  const bool hvm = kind_ == DomainKind::hvm;
  const std::uint64_t all =
      info.pages - std::min(info.pages, on_demand.in_stock) + on_demand.missing + (hvm ? kVgaHole.size() : 0);
  const std::uint64_t high = *end > k4Gib ? *end - k4Gib : 0;
  // Main memory is a multiple of 1 MiB; the remainder is the few pages of Xen's own.
  constexpr std::uint64_t kMib = 256;
  const std::uint64_t low =
      std::min<std::uint64_t>((all - std::min(all, high)) / kMib * kMib, hvm ? 0xf0000 : 0xfc000);
  GfnRanges present{{0, low}};
  if (hvm && low > kVgaHole.end) {
    present = {{0, kVgaHole.begin}, {kVgaHole.end, low}};
  }
  if (high > 0) {
    present.push_back({k4Gib, *end});
  }
  auto layout = hvm_layout(present, kind_, {});
  if (layout) {
    layout->pages = info.pages;
    layout->source = fmt::format(
        "by the domain's size: {} pages are populated on demand, and trying them would populate them",
        on_demand.missing);
  }
  return layout;
}

Result<GfnScan> LayoutFinder::begin(ScanDegree degree) const {
  const auto end = end_of_frames();
  if (!end) {
    return tl::unexpected{end.error()};
  }
  return GfnScan{[this](auto frames, auto present) { return probe(frames, present); }, *end, degree};
}

Result<Layout> LayoutFinder::finish(const GfnRanges& present, std::uint64_t pages, ScanDegree degree) const {
  auto layout = hvm_layout(present, kind_, special_pages());
  if (layout) {
    layout->pages = pages;
    layout->source = describe(degree);
  }
  return layout;
}

} // namespace vmemfs::xen
