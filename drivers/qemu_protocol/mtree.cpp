// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/mtree.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <span>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "mtree";
constexpr std::size_t kHexDigits = 16;
constexpr std::size_t kMaxRanges = std::size_t{1} << 20;

tl::unexpected<Error> bad_line(std::string_view line, std::string_view why) {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("cannot parse a line of QEMU's memory tree ({}): '{}'", why, printable(line, 120)));
}

/// Removes `prefix` from the front of `text`.
bool skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

/// Removes an address of 16 hex digits from the front of `text`.
std::optional<std::uint64_t> take_address(std::string_view& text) {
  const auto value = text.size() < kHexDigits ? std::nullopt : parse_hex(text.substr(0, kHexDigits));
  if (value) {
    text.remove_prefix(kHexDigits);
  }
  return value;
}

std::optional<MtreeType> type_by_name(std::string_view name) {
  struct Entry {
    std::string_view name;
    MtreeType type;
  };
  static constexpr std::array<Entry, 6> kTypes{{{"ram", MtreeType::ram},
                                                {"rom", MtreeType::rom},
                                                {"romd", MtreeType::romd},
                                                {"ramd", MtreeType::ramd},
                                                {"nv-ram", MtreeType::nv_ram},
                                                {"i/o", MtreeType::io}}};
  const auto with_name = [](std::string_view wanted) {
    return std::ranges::find(kTypes, wanted, &Entry::name);
  };
  auto found = with_name(name);
  if (found == kTypes.end() && skip(name, "nv-")) { // part of an nvdimm, but not RAM
    found = with_name(name);
  }
  return found == kTypes.end() ? std::nullopt : std::optional{found->type};
}

/// Splits the text after "): ": the name, which may contain blanks, then optionally an offset and " KVM",
/// which is repeated for each address space that shares the view.
void read_name(std::string_view text, MtreeRange& range) {
  constexpr std::string_view kKvm = " KVM";
  constexpr std::size_t kOffsetSize = 2 + kHexDigits; // " @" and the digits
  while (text.ends_with(kKvm)) {
    text.remove_suffix(kKvm.size());
    range.kvm = true;
  }
  if (text.size() > kOffsetSize) {
    std::string_view tail = text.substr(text.size() - kOffsetSize);
    if (const auto offset = skip(tail, " @") ? parse_hex(tail) : std::nullopt) {
      range.offset = *offset;
      text.remove_suffix(kOffsetSize);
    }
  }
  range.name = text;
}

/// "START-LAST (prio N, TYPE): NAME..."; nullopt for I/O that reaches the end of the address space,
/// which no half-open range can express and is never read.
Result<std::optional<MtreeRange>> parse_range(std::string_view line) {
  std::string_view rest = line;
  const auto begin = take_address(rest);
  const auto last = begin && skip(rest, "-") ? take_address(rest) : std::nullopt;
  if (!last || !skip(rest, " (prio ")) {
    return bad_line(line, "no range");
  }
  if (*last < *begin) {
    return bad_line(line, "it ends before it begins");
  }
  const std::size_t comma = rest.find(", ");
  const std::size_t close = rest.find("): ");
  if (comma == std::string_view::npos || close == std::string_view::npos || close < comma) {
    return bad_line(line, "no type");
  }
  const auto type = type_by_name(rest.substr(comma + 2, close - comma - 2));
  if (!type) {
    return bad_line(line, "unknown type");
  }
  if (*last >= kGpaLimit - 1) {
    if (*type == MtreeType::io) {
      return std::optional<MtreeRange>{};
    }
    return bad_line(line, "it is too high");
  }
  MtreeRange range{
      .range = {Gpa{*begin}, Gpa{*last + 1}}, .type = *type, .name = {}, .offset = 0, .kvm = false};
  read_name(rest.substr(close + 3), range);
  return range;
}

bool is_header(std::string_view line) { return line.starts_with("FlatView #"); }

/// ` AS "NAME", root: ...`
bool is_main_address_space(std::string_view line) { return line.starts_with("AS \"memory\","); }

/// Lines of the view that the address space "memory" has; empty if there is none.
std::span<const std::string_view> main_view(std::span<const std::string_view> lines) {
  std::size_t begin = 0;
  bool found = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = trim(lines[i]);
    if (is_header(line)) {
      if (found) {
        return lines.subspan(begin, i - begin);
      }
      begin = i + 1;
    }
    found = found || is_main_address_space(line);
  }
  return found ? lines.subspan(begin) : lines.subspan(lines.size());
}

/// True for lines of a view that are not ranges.
bool is_caption(std::string_view line) {
  return line.empty() || line.starts_with("AS \"") || line.starts_with("Root memory region:") ||
         line == "No rendered FlatView";
}

Result<void> check_disjoint(std::span<const MtreeRange> sorted) {
  const auto overlap = std::ranges::adjacent_find(
      sorted, [](const auto& a, const auto& b) { return a.range.end > b.range.begin; });
  if (overlap != sorted.end()) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU's memory tree has ranges that overlap, at {:#x}",
                            std::next(overlap)->range.begin.value()));
  }
  return {};
}

} // namespace

Result<std::vector<MtreeRange>> parse_mtree(std::string_view text) {
  const std::vector<std::string_view> lines = split(text, '\n');
  const auto view = main_view(lines);
  if (view.empty()) {
    return fail(ErrorKind::source_failed, kOrigin,
                "QEMU's answer to 'info mtree -f' has no view of the address space \"memory\"");
  }
  std::vector<MtreeRange> ranges;
  for (const std::string_view raw : view) {
    const std::string_view line = trim(raw);
    if (is_caption(line)) {
      continue;
    }
    auto range = parse_range(line);
    if (!range) {
      return tl::unexpected{std::move(range.error())};
    }
    if (*range) {
      ranges.push_back(std::move(**range));
    }
    if (ranges.size() > kMaxRanges) {
      return fail(ErrorKind::source_failed, kOrigin, "QEMU's memory tree has too many ranges");
    }
  }
  std::ranges::sort(ranges, {}, [](const MtreeRange& range) { return range.range.begin; });
  return check_disjoint(ranges).map([&] { return std::move(ranges); });
}

} // namespace vmemfs
