// SPDX-License-Identifier: MIT
#include "drivers/leechcore/memory/device_map.h"

#include "core/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";

tl::unexpected<Error> wrong_line(std::size_t number, std::string_view line, std::string_view why) {
  return fail(ErrorKind::invalid, kOrigin,
              fmt::format("line {} of the memory map, '{}': {}", number, printable(trim(line)), why));
}

/// The reason why this is not a range; empty if it is one.
std::string_view problem_of(std::uint64_t begin, std::uint64_t size, std::uint64_t remap) {
  if (size == 0) {
    return "the range is empty";
  }
  if (begin >= kGpaLimit || size > kGpaLimit - begin || remap >= kGpaLimit || size > kGpaLimit - remap) {
    return "the range lies too high";
  }
  if ((begin | size | remap) % kPageSize != 0) {
    return "the range does not consist of whole pages of 4 KiB";
  }
  return remap == 0 && begin != 0 ? "LeechCore cannot map another address to address 0" : "";
}

std::string_view without_comment(std::string_view line) { return trim(line.substr(0, line.find('#'))); }

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words = split(line, ' ');
  std::erase(words, std::string_view{});
  return words;
}

std::optional<std::uint64_t> parse_address(std::string_view word) {
  return parse_hex(word.starts_with("0x") ? word.substr(2) : word);
}

/// `base - top -> remap` without an index, the last two words optional.
Result<DeviceRange> parse_range(std::span<const std::string_view> words, std::size_t number,
                                std::string_view line) {
  const bool has_remap = words.size() == 5 && words[3] == "->";
  const bool has_form = (words.size() == 3 || has_remap) && words[1] == "-";
  const auto base = parse_address(words[0]);
  const auto top = parse_address(has_form ? words[2] : "");
  const auto remap = has_remap ? parse_address(words[4]) : base;
  if (!base || !top || !remap) {
    return wrong_line(number, line,
                      "it is not 'BASE - TOP' or 'BASE - TOP -> REMAP' with hexadecimal numbers");
  }
  const std::uint64_t size = top.value() >= base.value() ? top.value() - base.value() + 1 : 0;
  if (const auto problem = problem_of(*base, size, *remap); !problem.empty()) {
    return wrong_line(number, line, problem);
  }
  return DeviceRange{{Gpa{*base}, Gpa{*base + size}}, *remap};
}

Result<std::vector<DeviceRange>> sorted(std::vector<DeviceRange> ranges) {
  std::ranges::sort(ranges, {}, [](const DeviceRange& range) { return range.range.begin; });
  const auto overlap = std::ranges::adjacent_find(
      ranges, [](const DeviceRange& a, const DeviceRange& b) { return a.range.end > b.range.begin; });
  if (overlap != ranges.end()) {
    return fail(
        ErrorKind::invalid, kOrigin,
        fmt::format("the memory map has two ranges at {:#x}", std::next(overlap)->range.begin.value()));
  }
  return ranges;
}

Result<void> add(std::vector<DeviceRange>& ranges, const DeviceRange& range) {
  if (ranges.size() == kMaxRanges) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("the memory map has more than {} ranges", kMaxRanges));
  }
  ranges.push_back(range);
  return {};
}

/// A table `[[range]]` of a TOML file while it is read.
struct RangeTable {
  std::optional<std::uint64_t> base;
  std::optional<std::uint64_t> length;
  std::optional<std::uint64_t> real_base;
};

/// Numbers as TOML has them: decimal or 0x, with underscores between digits.
std::optional<std::uint64_t> parse_toml_number(std::string_view text) {
  std::string digits{text};
  std::erase(digits, '_');
  return parse_u64(digits);
}

Result<void> set_value(RangeTable& table, std::size_t number, std::string_view line) {
  const std::size_t equals = line.find('=');
  const std::string_view key = trim(line.substr(0, equals));
  std::optional<std::uint64_t>* const value = key == "base"        ? &table.base
                                              : key == "length"    ? &table.length
                                              : key == "real_base" ? &table.real_base
                                                                   : nullptr;
  if (equals == std::string_view::npos || value == nullptr || value->has_value()) {
    return wrong_line(number, line, "a range has base, length and maybe real_base, once each");
  }
  *value = parse_toml_number(trim(line.substr(equals + 1)));
  return *value ? Result<void>{} : wrong_line(number, line, "the value is not a number");
}

Result<void> add_table(std::vector<DeviceRange>& ranges, const RangeTable& table, std::size_t number) {
  if (!table.base || !table.length) {
    return wrong_line(number, "[[range]]", "the range before it ends has no base or no length");
  }
  const std::uint64_t remap = table.real_base.value_or(*table.base);
  if (const auto problem = problem_of(*table.base, *table.length, remap); !problem.empty()) {
    return wrong_line(number, fmt::format("{:#x}", *table.base), problem);
  }
  return add(ranges, {{Gpa{*table.base}, Gpa{*table.base + *table.length}}, remap});
}

Result<std::vector<DeviceRange>> parse_toml_map(std::string_view text) {
  std::vector<DeviceRange> ranges;
  std::optional<RangeTable> table;
  std::size_t number = 0;
  for (const std::string_view whole : split(text, '\n')) {
    ++number;
    const std::string_view line = without_comment(whole);
    Result<void> done;
    if (line == "[[range]]") {
      done = table ? add_table(ranges, *table, number) : Result<void>{};
      table.emplace();
    } else if (!line.empty()) {
      done = table ? set_value(*table, number, line)
                   : wrong_line(number, line, "it is before the first [[range]]");
    }
    if (!done) {
      return tl::unexpected{std::move(done.error())};
    }
  }
  if (table) {
    if (auto done = add_table(ranges, *table, number); !done) {
      return tl::unexpected{std::move(done.error())};
    }
  }
  return sorted(std::move(ranges));
}

} // namespace

Result<std::vector<DeviceRange>> parse_device_map(std::string_view text) {
  std::vector<DeviceRange> ranges;
  std::size_t number = 0;
  for (const std::string_view whole : split(text, '\n')) {
    ++number;
    const std::vector<std::string_view> words = words_of(without_comment(whole));
    if (words.empty()) {
      continue;
    }
    const std::size_t index = words.size() > 2 && words[2] == "-" ? 1 : 0;
    const auto range = parse_range(std::span{words}.subspan(index), number, whole);
    if (!range) {
      return tl::unexpected{range.error()};
    }
    if (auto added = add(ranges, *range); !added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  return sorted(std::move(ranges));
}

Result<std::vector<DeviceRange>> parse_map_file(std::string_view text) {
  auto ranges = text.find("[[") == std::string_view::npos ? parse_device_map(text) : parse_toml_map(text);
  if (ranges && ranges->empty()) {
    return fail(ErrorKind::invalid, kOrigin,
                "the memory map has no range; a line is 'BASE - TOP' with hexadecimal numbers");
  }
  return ranges;
}

std::string to_device_map(std::span<const DeviceRange> ranges) {
  std::string text;
  for (const DeviceRange& range : ranges) {
    text += fmt::format("{:x} - {:x} -> {:x}\n", range.range.begin.value(), range.range.end.value() - 1,
                        range.remap);
  }
  return text;
}

// Some versions report the end of memory instead of the last address.
std::vector<DeviceRange> all_up_to(std::uint64_t max_address) {
  const std::uint64_t end = max_address < kGpaLimit ? (max_address + 1) & ~(kPageSize - 1) : 0;
  return end == 0 ? std::vector<DeviceRange>{} : std::vector<DeviceRange>{{{Gpa{0}, Gpa{end}}, 0}};
}

Result<MemoryMap> to_memory_map(std::span<const DeviceRange> ranges, bool writable,
                                const std::string& block) {
  std::vector<Region> regions;
  regions.reserve(ranges.size());
  for (const DeviceRange& range : ranges) {
    regions.push_back({range.range, RegionKind::ram, writable, 0, range.remap});
  }
  return MemoryMap::build(std::move(regions), {block});
}

} // namespace vmemfs::leechcore
