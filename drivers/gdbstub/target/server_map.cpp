// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/target/server_map.h"

#include "core/text.h"

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

} // namespace vmemfs::gdbstub
