// SPDX-License-Identifier: MIT
// Parser of the argument of an option of QEMU: `VALUE,key=value,flag,noflag`.
//
// Pure functions, thread-safe. The text is not trusted.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace vmemfs::qemu {

/// Keys and values of one option's argument.
using Options = std::map<std::string, std::string, std::less<>>;

/// Parses as QEMU does: ",," is a comma in a value; a first item without "=" has `implied_key`. If a key is
/// given twice, the last value counts.
[[nodiscard]] Options parse_options(std::string_view text, std::string_view implied_key);

/// Empty if it is not given.
[[nodiscard]] std::string value_of(const Options& options, std::string_view key);

/// Given, and on; is_off(): given, and off.
[[nodiscard]] bool is_on(const Options& options, std::string_view key);
[[nodiscard]] bool is_off(const Options& options, std::string_view key);

} // namespace vmemfs::qemu
