// SPDX-License-Identifier: MIT
#include "linux/vmcoreinfo.h"

#include <algorithm>
#include <charconv>

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

template <typename T> std::optional<T> number_of(std::string_view text, std::string_view key, int base) {
  const auto value = value_of(text, key);
  T number{};
  if (!value) {
    return std::nullopt;
  }
  const char* const end = value->data() + value->size();
  const auto parsed = std::from_chars(value->data(), end, number, base);
  return parsed.ec == std::errc{} && parsed.ptr == end ? std::optional{number} : std::nullopt;
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
                    .five_levels = value_in(text, "NUMBER", "pgtable_l5_enabled", kDecimal) == 1};
}

} // namespace vmemfs
