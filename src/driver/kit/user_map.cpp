// SPDX-License-Identifier: MIT
#include "driver/kit/user_map.h"

#include "core/text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::size_t kMaxRegions = 4096;

tl::unexpected<Error> not_a_map(std::string_view text, std::string_view origin, std::string_view why) {
  return fail(ErrorKind::invalid, origin,
              fmt::format("cannot use maps={}: {}; give BEGIN-END[:KIND], joined by '+', such as "
                          "0-640K+1M-128M+0xfffc0000-4G:rom, where KIND is ram, rom or device",
                          printable(text, 200), why));
}

std::optional<RegionKind> kind_of(std::string_view name) {
  for (const RegionKind kind : {RegionKind::ram, RegionKind::rom, RegionKind::device}) {
    if (name == to_string(kind)) {
      return kind;
    }
  }
  return std::nullopt;
}

std::optional<Region> parse_range(std::string_view text) {
  const std::size_t colon = text.find(':');
  const auto kind = colon == std::string_view::npos ? RegionKind::ram : kind_of(text.substr(colon + 1));
  const std::string_view range = text.substr(0, colon);
  const std::size_t dash = range.find('-');
  if (!kind || dash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto begin = parse_size(range.substr(0, dash));
  const auto end = parse_size(range.substr(dash + 1));
  if (!begin || !end || *begin >= *end || *end > kGpaLimit) {
    return std::nullopt;
  }
  return Region{{Gpa{*begin}, Gpa{*end}}, *kind, *kind == RegionKind::ram, 0, *begin};
}

} // namespace

Result<MemoryMap> parse_user_map(std::string_view text, std::string_view origin) {
  std::vector<Region> regions;
  std::string ranges{text};
  std::ranges::replace(ranges, ',', '+');
  for (const std::string_view range : split(ranges, '+')) {
    const auto region = parse_range(trim(range));
    if (!region) {
      return not_a_map(text, origin, fmt::format("'{}' is not a range", printable(range)));
    }
    if (regions.size() >= kMaxRegions) {
      return not_a_map(text, origin, "too many ranges");
    }
    regions.push_back(*region);
  }
  if (std::ranges::none_of(regions, [](const Region& region) { return region.kind == RegionKind::ram; })) {
    return not_a_map(text, origin, "none of its ranges is ram");
  }
  auto map = MemoryMap::build(std::move(regions), {"target"});
  return map ? std::move(map) : not_a_map(text, origin, map.error().text);
}

} // namespace vmemfs
