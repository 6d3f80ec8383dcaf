// SPDX-License-Identifier: MIT
#include "drivers/kvmi/memory/memory_probe.h"

#include <algorithm>
#include <bit>
#include <string>

namespace vmemfs::kvmi {
namespace {

constexpr std::uint64_t kFirst = std::uint64_t{1} << 20U; ///< all pages below it are tried
constexpr std::uint64_t kMinStep = std::uint64_t{2} << 20U;
constexpr std::uint64_t kMaxSteps = 32768;

constexpr std::uint64_t k4GiB = std::uint64_t{1} << 32U;
constexpr std::uint64_t kMaxFirmware = std::uint64_t{16} << 20U;

struct Page {
  Gpa gpa;
  std::uint8_t present = 0;
};

Result<void> try_all(std::vector<Page>& pages, const TryPages& try_pages) {
  std::vector<Gpa> addresses;
  addresses.reserve(pages.size());
  for (const Page& page : pages) {
    addresses.push_back(page.gpa);
  }
  std::vector<std::uint8_t> present(pages.size());
  if (auto tried = try_pages(addresses, present); !tried) {
    return tried;
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    pages[i].present = present[i];
  }
  return {};
}

/// Two pages between which memory begins or ends.
struct Border {
  Page low;
  Page high;
};

/// Halves all of them at the same time, so that each half costs one round trip.
Result<void> narrow(std::vector<Border>& borders, const TryPages& try_pages) {
  const auto apart = [](const Border& border) { return border.high.gpa - border.low.gpa > kPageSize; };
  for (;;) {
    std::vector<Page> middles;
    for (const Border& border : borders) {
      if (apart(border)) {
        middles.push_back(
            {Gpa{border.low.gpa.value() + (border.high.gpa - border.low.gpa) / 2}.page_start()});
      }
    }
    if (middles.empty()) {
      return {};
    }
    if (auto tried = try_all(middles, try_pages); !tried) {
      return tried;
    }
    auto middle = middles.begin();
    for (Border& border : borders) {
      if (apart(border)) {
        (middle->present == border.low.present ? border.low : border.high) = *middle;
        ++middle;
      }
    }
  }
}

} // namespace

std::vector<Gpa> first_tried(std::uint64_t end) {
  std::vector<Gpa> pages;
  for (std::uint64_t at = 0; at < std::min(end, kFirst); at += kPageSize) {
    pages.emplace_back(at);
  }
  const std::uint64_t step = std::max(kMinStep, std::bit_ceil(end / kMaxSteps));
  for (std::uint64_t at = kFirst; at < end; at = (at / step + 1) * step) {
    pages.emplace_back(at);
    const std::uint64_t last = std::min((at / step + 1) * step, end) - kPageSize;
    if (last > at) {
      pages.emplace_back(last);
    }
  }
  return pages;
}

Result<std::vector<GpaRange>> find_memory(std::uint64_t end, const TryPages& try_pages) {
  std::vector<Page> pages;
  for (const Gpa gpa : first_tried(end)) {
    pages.push_back({gpa});
  }
  if (auto tried = try_all(pages, try_pages); !tried) {
    return tl::unexpected{std::move(tried.error())};
  }
  std::vector<Border> borders;
  for (std::size_t i = 1; i < pages.size(); ++i) {
    if (pages[i - 1].present != pages[i].present) {
      borders.push_back({pages[i - 1], pages[i]});
    }
  }
  if (borders.size() > 2 * kMaxRanges) {
    return fail(ErrorKind::source_failed, "kvmi", "the VM's memory is in more pieces than any VM has");
  }
  if (auto narrowed = narrow(borders, try_pages); !narrowed) {
    return tl::unexpected{std::move(narrowed.error())};
  }
  std::vector<GpaRange> ranges;
  bool present = !pages.empty() && pages.front().present != 0;
  Gpa begin{0};
  for (const Border& border : borders) {
    if (present) {
      ranges.push_back({begin, border.high.gpa});
    } else {
      begin = border.high.gpa;
    }
    present = !present;
  }
  if (present) {
    ranges.push_back({begin, Gpa{end}});
  }
  return ranges;
}

Result<MemoryMap> map_of(std::span<const GpaRange> ranges) {
  std::vector<Region> regions;
  const auto add = [&](GpaRange range, RegionKind kind) {
    if (!range.empty()) {
      regions.push_back({range, kind, kind == RegionKind::ram, 0, range.begin.value()});
    }
  };
  for (const GpaRange& range : ranges) {
    const bool has_firmware =
        range.begin >= Gpa{k4GiB - kMaxFirmware} && range.begin < Gpa{k4GiB} && range.end >= Gpa{k4GiB};
    const Gpa firmware_end = has_firmware ? Gpa{k4GiB} : range.begin;
    add({range.begin, firmware_end}, RegionKind::rom);
    add({firmware_end, range.end}, RegionKind::ram); // which may follow at once
  }
  return MemoryMap::build(std::move(regions), {"guest"});
}

} // namespace vmemfs::kvmi
