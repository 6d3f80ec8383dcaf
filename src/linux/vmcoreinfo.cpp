// SPDX-License-Identifier: MIT
#include "linux/vmcoreinfo.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace vmemfs {
namespace {

/// The value of the first line with this key.
std::optional<std::string_view> value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == '=') {
      return line.substr(key.size() + 1);
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return std::nullopt;
}

template <typename T> std::optional<T> parse_number(std::string_view digits, int base) {
  T number{};
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number, base);
  return parsed.ec == std::errc{} && parsed.ptr == end ? std::optional{number} : std::nullopt;
}

template <typename T> std::optional<T> number_of(std::string_view text, std::string_view key, int base) {
  const auto value = value_of(text, key);
  return value ? parse_number<T>(*value, base) : std::nullopt;
}

constexpr int kHex = 16;
constexpr int kDecimal = 10;

/// The value of a line such as `SIZE(list_head)=16`.
std::optional<std::uint64_t> value_in(std::string_view text, std::string_view kind, std::string_view name,
                                      int base) {
  std::string key{kind};
  key += '(';
  key += name;
  key += ')';
  return number_of<std::uint64_t>(text, key, base);
}

/// With 0x before hexadecimal digits.
std::optional<std::uint64_t> number_in(std::string_view text, std::string_view name) {
  constexpr std::string_view kPrefix = "0x";
  const auto value = value_of(text, fmt::format("NUMBER({})", name));
  if (!value) {
    return std::nullopt;
  }
  return value->starts_with(kPrefix) ? parse_number<std::uint64_t>(value->substr(kPrefix.size()), kHex)
                                     : parse_number<std::uint64_t>(*value, kDecimal);
}

bool is_text(char c) { return c == '\n' || (c >= ' ' && c <= '~'); }

} // namespace

std::optional<std::uint64_t> Vmcoreinfo::symbol(std::string_view name) const {
  return value_in(text, "SYMBOL", name, kHex);
}

std::optional<std::uint64_t> Vmcoreinfo::size(std::string_view type) const {
  return value_in(text, "SIZE", type, kDecimal);
}

std::optional<std::uint64_t> Vmcoreinfo::offset(std::string_view member) const {
  return value_in(text, "OFFSET", member, kDecimal);
}

std::optional<std::uint64_t> Vmcoreinfo::number(std::string_view name) const { return number_in(text, name); }

std::optional<Vmcoreinfo> parse_vmcoreinfo(std::string_view page) {
  std::string_view text = page.substr(0, kMaxVmcoreinfo);
  text = text.substr(0, text.find('\0'));
  if (!text.starts_with(kVmcoreinfoBegin) || !std::ranges::all_of(text, is_text)) {
    return std::nullopt;
  }
  const auto swapper = number_of<std::uint64_t>(text, "SYMBOL(swapper_pg_dir)", kHex);
  if (!swapper) {
    return std::nullopt;
  }
  return Vmcoreinfo{.text = std::string{text},
                    .swapper_pg_dir = *swapper,
                    .stext = number_of<std::uint64_t>(text, "SYMBOL(_stext)", kHex),
                    .release = std::string{value_of(text, "OSRELEASE").value_or("")},
                    .build_id = std::string{value_of(text, "BUILD-ID").value_or("")},
                    .kaslr_offset = number_of<std::uint64_t>(text, "KERNELOFFSET", kHex),
                    .phys_base = number_of<std::int64_t>(text, "NUMBER(phys_base)", kDecimal),
                    .five_levels = value_in(text, "NUMBER", "pgtable_l5_enabled", kDecimal) == 1,
                    .kimage_voffset = number_in(text, "kimage_voffset"),
                    .page_bytes = number_of<std::uint64_t>(text, "PAGESIZE", kDecimal)};
}

} // namespace vmemfs
