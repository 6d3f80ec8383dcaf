// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/target/server_map.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::gdbstub {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::size_t kMaxText = std::size_t{1} << 20;
constexpr std::size_t kMaxRegions = 4096;

std::optional<Region> region_of(std::uint64_t begin, std::uint64_t size, RegionKind kind) {
  if (size == 0 || begin >= kGpaLimit || size > kGpaLimit - begin) {
    return std::nullopt;
  }
  // The offset in the block, of which a server knows nothing, is the address.
  return Region{{Gpa{begin}, Gpa{begin + size}}, kind, kind == RegionKind::ram, 0, begin};
}

tl::unexpected<Error> not_maps(std::string_view text, std::string_view why) {
  return fail(ErrorKind::invalid, kOrigin,
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
  return begin && end && *begin < *end ? region_of(*begin, *end - *begin, *kind) : std::nullopt;
}

} // namespace

Result<MemoryMap> parse_memory_map_xml(std::string_view text) {
  const auto no_map = [](std::string_view why) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("cannot parse the server's memory map: {}; give the ranges by maps=", why));
  };
  pugi::xml_document document;
  if (text.size() > kMaxText) {
    return no_map("it is too large");
  }
  const auto parsed =
      document.load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) {
    return no_map(parsed.description());
  }
  std::vector<Region> regions;
  for (const pugi::xml_node& memory : document.child("memory-map").children("memory")) {
    const std::string_view type = memory.attribute("type").as_string();
    const auto begin = parse_u64(memory.attribute("start").as_string());
    const auto size = parse_u64(memory.attribute("length").as_string());
    const auto region = begin && size
                            ? region_of(*begin, *size, type == "ram" ? RegionKind::ram : RegionKind::rom)
                            : std::nullopt;
    if (!region || (type != "ram" && type != "rom" && type != "flash")) {
      return no_map("a range has no valid address, length or type");
    }
    if (regions.size() >= kMaxRegions) {
      return no_map("it has too many ranges");
    }
    regions.push_back(*region);
  }
  if (regions.empty()) {
    return no_map("it has no ranges");
  }
  return MemoryMap::build(std::move(regions), {"target"});
}

Result<MemoryMap> parse_maps(std::string_view text) {
  std::vector<Region> regions;
  for (const std::string_view range : split(text, '+')) {
    const auto region = parse_range(trim(range));
    if (!region) {
      return not_maps(text, fmt::format("'{}' is not a range", printable(range)));
    }
    if (regions.size() >= kMaxRegions) {
      return not_maps(text, "too many ranges");
    }
    regions.push_back(*region);
  }
  if (std::ranges::none_of(regions, [](const Region& region) { return region.kind == RegionKind::ram; })) {
    return not_maps(text, "none of its ranges is ram");
  }
  auto map = MemoryMap::build(std::move(regions), {"target"});
  return map ? std::move(map) : not_maps(text, map.error().text);
}

} // namespace vmemfs::gdbstub
