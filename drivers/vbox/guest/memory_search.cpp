// SPDX-License-Identifier: MIT
#include "drivers/vbox/guest/memory_search.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t k4GiB = std::uint64_t{1} << 32U;
constexpr std::uint64_t kDefaultHole = 512 * kMiB;
constexpr std::uint64_t kHoleStep = 64 * kMiB;
constexpr std::uint64_t kMaxHole = 3584 * kMiB;

constexpr Gpa kVideo{0xa0000};
constexpr Gpa kFirmware{0xc0000};
constexpr Gpa kHighMemory{kMiB};

struct Search {
  const PageProbe& readable;

  /// Whether memory ends at `end`. The page behind it may still be readable if a device has memory there.
  [[nodiscard]] Result<bool> ends_at(std::uint64_t end) const {
    const auto last = readable(Gpa{end - kPageSize});
    return !last || !*last ? last : readable(Gpa{end}).map([](bool more) { return !more; });
  }

  /// The first page in [begin, end) that cannot be read, if all before it can and none behind it; the page at
  /// `begin` is known to be readable.
  [[nodiscard]] Result<std::uint64_t> end_of(std::uint64_t begin, std::uint64_t end) const {
    while (end - begin > kPageSize) {
      const std::uint64_t middle = (begin + (end - begin) / 2) & ~(kPageSize - 1);
      const auto is_readable = readable(Gpa{middle});
      if (!is_readable) {
        return tl::unexpected{is_readable.error()};
      }
      (*is_readable ? begin : end) = middle;
    }
    return begin + kPageSize;
  }

  /// The size of the hole, if memory goes on at 4 GiB.
  [[nodiscard]] Result<std::optional<std::uint64_t>> hole_of(std::uint64_t ram_bytes) const {
    std::vector<std::uint64_t> sizes{kDefaultHole};
    for (std::uint64_t size = kHoleStep; size <= kMaxHole; size += kHoleStep) {
      sizes.push_back(size);
    }
    for (const std::uint64_t hole : sizes) {
      if (ram_bytes <= k4GiB - hole) {
        continue;
      }
      const auto low = ends_at(k4GiB - hole);
      const auto high = low && *low ? ends_at(hole + ram_bytes) : low;
      if (!high) {
        return tl::unexpected{high.error()};
      }
      if (*high) {
        return hole;
      }
    }
    return std::nullopt;
  }

  /// ROM, and RAM that holds copies of it: pages that can be read.
  [[nodiscard]] Result<void> add_firmware(std::vector<Region>& regions) const {
    for (Gpa page = kFirmware; page < kHighMemory; page = page + kPageSize) {
      const auto is_readable = readable(page);
      if (!is_readable) {
        return tl::unexpected{is_readable.error()};
      }
      if (!*is_readable) {
        continue;
      }
      if (!regions.empty() && regions.back().kind == RegionKind::rom && regions.back().range.end == page) {
        regions.back().range.end = page + kPageSize;
      } else {
        regions.push_back({{page, page + kPageSize}, RegionKind::rom, false, 1, page - kFirmware});
      }
    }
    return {};
  }
};

Region ram(Gpa begin, Gpa end, std::uint64_t offset) {
  return {{begin, end}, RegionKind::ram, true, 0, offset};
}

tl::unexpected<Error> not_found(std::uint64_t ram_bytes) {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("cannot find where the guest has its {} MiB of memory; give the ranges by maps=",
                          ram_bytes / kMiB));
}

/// Main memory below 4 GiB, and all of it.
struct Borders {
  std::uint64_t low_end;
  std::uint64_t end;
};

Result<Borders> find_borders(const Search& search, std::uint64_t ram_bytes) {
  if (ram_bytes < k4GiB) {
    const auto fits = search.ends_at(ram_bytes);
    if (!fits || *fits) {
      return fits ? Result<Borders>{Borders{ram_bytes, ram_bytes}} : tl::unexpected{fits.error()};
    }
  }
  const auto hole = search.hole_of(ram_bytes);
  if (!hole) {
    return tl::unexpected{hole.error()};
  }
  if (*hole) {
    return Borders{k4GiB - **hole, ram_bytes + **hole};
  }
  if (ram_bytes > k4GiB - kDefaultHole) {
    return not_found(ram_bytes);
  }
  const auto last = search.readable(Gpa{ram_bytes - kPageSize});
  const auto end = last && !*last ? search.end_of(0, ram_bytes) : last.map([&](bool) { return ram_bytes; });
  return end.map([](std::uint64_t low) { return Borders{low, low}; });
}

} // namespace

Result<MemoryMap> find_memory(std::uint64_t ram_bytes, const PageProbe& readable) {
  const Search search{readable};
  ram_bytes &= ~(kPageSize - 1);
  const auto first = readable(Gpa{0});
  if (!first) {
    return tl::unexpected{first.error()};
  }
  if (!*first || ram_bytes <= kHighMemory.value()) {
    return not_found(ram_bytes);
  }
  const auto borders = find_borders(search, ram_bytes);
  if (!borders) {
    return tl::unexpected{borders.error()};
  }
  if (borders->low_end <= kHighMemory.value()) {
    return not_found(ram_bytes);
  }
  std::vector<Region> regions{ram(Gpa{0}, kVideo, 0)};
  if (auto added = search.add_firmware(regions); !added) {
    return tl::unexpected{std::move(added.error())};
  }
  regions.push_back(ram(kHighMemory, Gpa{borders->low_end}, kHighMemory.value()));
  if (borders->end > borders->low_end) {
    regions.push_back(ram(Gpa{k4GiB}, Gpa{borders->end}, borders->low_end));
  }
  return MemoryMap::build(std::move(regions), {"ram", "firmware"});
}

} // namespace vmemfs::vbox
