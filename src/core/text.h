// SPDX-License-Identifier: MIT
// Small helpers for text from outside: trimming, splitting, strict numbers, safe quoting, times.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Without spaces, tabs, CR and LF at both ends.
[[nodiscard]] std::string_view trim(std::string_view text);

/// Pieces between separators; views into `text`. A final separator adds no empty piece.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);

/// Decimal, or hex with 0x. The whole text must be the number.
[[nodiscard]] std::optional<std::uint64_t> parse_u64(std::string_view text);

/// Hex digits without a prefix. The whole text must be the number.
[[nodiscard]] std::optional<std::uint64_t> parse_hex(std::string_view text);

/// Bytes: a number with an optional K, M, G or T (powers of 1024, any case, optional trailing "iB" or "B").
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

/// A duration: a whole number and one of kDurationUnits; only 0 needs no unit.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

/// Digits of a second's fraction.
enum class SecondDigits : std::uint8_t { three = 3, six = 6 };
/// A time in UTC, such as 2026-11-24T14:50:12.345Z with three digits.
[[nodiscard]] std::string utc_text(std::chrono::system_clock::time_point time, SecondDigits digits);

/// Permission bits: one to four octal digits.
[[nodiscard]] std::optional<std::uint32_t> parse_mode(std::string_view text);

/// `text` fit for a terminal, a log line or an error message: control and non-ASCII bytes as \xNN,
/// cut after `limit` bytes.
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 80);

} // namespace vmemfs
