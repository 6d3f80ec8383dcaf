// SPDX-License-Identifier: MIT
// Limit on the length of keys in a TOML text, checked before it is parsed.
//
// toml++ limits how deeply values are nested, but not the tables that a dotted key such as a.b.c makes, and
// it frees them by recursion: a key of some 100,000 parts overflows the stack. Pure function, thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace vmemfs {

/// More than any setting has.
inline constexpr std::size_t kMaxKeyParts = 100;

/// The line, from 1, in which a statement (a header, or a key with its value) gets to more than kMaxKeyParts
/// parts of keys; nullopt if none does.
[[nodiscard]] std::optional<std::size_t> line_of_long_key(std::string_view toml);

} // namespace vmemfs
