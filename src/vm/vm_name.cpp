// SPDX-License-Identifier: MIT
#include "vm/vm_name.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fmt/format.h>

namespace vmemfs {
namespace {

constexpr std::size_t kMaxLength = 255; // NAME_MAX

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

struct CodePoint {
  std::uint32_t value;
  std::size_t bytes; ///< 0: not UTF-8
};

/// The first character of `text`, as in RFC 3629: no overlong forms, no surrogates.
CodePoint first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) {
    return {byte(0), 1};
  }
  struct Form {
    unsigned mask;
    unsigned lead;
    std::size_t bytes;
    std::uint32_t smallest;
  };
  constexpr std::array kForms{Form{0xe0, 0xc0, 2, 0x80}, Form{0xf0, 0xe0, 3, 0x800},
                              Form{0xf8, 0xf0, 4, 0x10000}};
  for (const Form& form : kForms) {
    if ((byte(0) & form.mask) != form.lead || text.size() < form.bytes) {
      continue;
    }
    std::uint32_t value = byte(0) & ~form.mask & 0xffU;
    for (std::size_t i = 1; i < form.bytes; ++i) {
      if ((byte(i) & 0xc0U) != 0x80) {
        return {0, 0};
      }
      value = (value << 6U) | (byte(i) & 0x3fU);
    }
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    return value < form.smallest || value > 0x10ffff || surrogate ? CodePoint{0, 0}
                                                                  : CodePoint{value, form.bytes};
  }
  return {0, 0};
}

/// Control characters, C1 included, and characters that change the writing direction or are invisible.
bool is_unsafe_character(std::uint32_t c) {
  struct Range {
    std::uint32_t first;
    std::uint32_t last;
  };
  constexpr std::array kRanges{Range{0, 0x1f},        Range{0x7f, 0x9f},      Range{0x200b, 0x200f},
                               Range{0x2028, 0x202e}, Range{0x2060, 0x206f},  Range{0xfeff, 0xfeff},
                               Range{0xfff9, 0xfffb}, Range{0xe0000, 0xe0fff}};
  return std::ranges::any_of(kRanges,
                             [c](const Range& range) { return c >= range.first && c <= range.last; });
}

/// The start of `text`, at most so many bytes, without splitting a character.
std::string_view cut(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) {
    return text;
  }
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0U) == 0x80) {
    --bytes;
  }
  return text.substr(0, bytes);
}

} // namespace

Result<void> check_vm_name(std::string_view name) {
  const bool has_bad_character = std::ranges::any_of(name, [](char c) { return is_control(c) || c == '/'; });
  if (name.empty() || name.size() > kMaxLength || name.front() == '.' || has_bad_character) {
    return fail(ErrorKind::invalid, "vm",
                fmt::format("'{}' cannot be a VM's name here: 1 to {} bytes, no '/', no control characters, "
                            "no '.' in front",
                            printable(name), kMaxLength));
  }
  return {};
}

tl::unexpected<Error> name_is_taken(std::string_view name) {
  return fail(ErrorKind::busy, "vm",
              fmt::format("there is a VM '{}' already; give another NAME", printable(name)));
}

std::string safe_vm_name(std::string_view wanted) {
  std::string name;
  while (!wanted.empty() && name.size() < kMaxLength) {
    const CodePoint c = first_character(wanted);
    const bool harmless = c.bytes > 0 && !is_unsafe_character(c.value) && c.value != '/';
    const std::size_t bytes = std::max<std::size_t>(c.bytes, 1);
    name += harmless ? wanted.substr(0, bytes) : "_";
    wanted.remove_prefix(bytes);
  }
  if (!name.empty() && (name.front() == '.' || name.front() == '-')) {
    name.front() = '_';
  }
  return std::string{cut(name, kMaxLength)};
}

std::string vm_base_name(std::string_view name, std::string_view uuid, std::string_view number) {
  for (const std::string_view wanted : {name, uuid, number}) {
    if (std::string safe = safe_vm_name(wanted); !safe.empty()) {
      return safe;
    }
  }
  return "vm";
}

std::string vm_name_candidate(std::string_view base, std::string_view number, unsigned attempt) {
  if (attempt == 0) {
    return std::string{base};
  }
  const std::string end = attempt == 1 ? fmt::format("-{}", number) : fmt::format("-{}-{}", number, attempt);
  return fmt::format("{}{}", cut(base, kMaxLength - std::min(end.size(), kMaxLength)), end);
}

} // namespace vmemfs
