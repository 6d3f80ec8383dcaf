// SPDX-License-Identifier: MIT
#include "fs/files/text/virtual_maps_text.h"

#include <cstdint>
#include <fmt/format.h>

namespace vmemfs {
namespace {

/// With 17 digits if it is the end of all addresses.
std::string end_text(std::uint64_t last) {
  return last == ~std::uint64_t{0} ? "10000000000000000" : fmt::format("{:016x}", last + 1);
}

std::string line_of(const MappedRange& range) {
  const std::string addresses = fmt::format("{:016x}-{}", range.begin, end_text(range.last));
  if (!range.mapped) {
    return fmt::format("# {} not searched\n", addresses);
  }
  return fmt::format("{} {:#x} {}{}{}{} {}\n", addresses, range.last - range.begin + 1,
                     range.rights.read ? 'r' : '-', range.rights.write ? 'w' : '-',
                     range.rights.execute ? 'x' : '-', range.rights.user ? 'u' : '-',
                     range.gpa ? fmt::format("{:016x}", range.gpa->value()) : std::string{"-"});
}

} // namespace

std::string virtual_maps_text(std::span<const MappedRange> ranges) {
  std::string text = "# START-END size rights physical\n";
  for (const MappedRange& range : ranges) {
    text += line_of(range);
  }
  return text;
}

} // namespace vmemfs
