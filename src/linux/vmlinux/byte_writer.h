// SPDX-License-Identifier: MIT
// Growing bytes of a little-endian file format.
#pragma once

#include "core/little_endian.h"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// Not thread-safe.
class ByteWriter {
public:
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  void reserve(std::size_t bytes) { bytes_.reserve(bytes); }

  template <std::unsigned_integral T> void number(T value) {
    bytes_.resize(bytes_.size() + sizeof value);
    store_le(std::span{bytes_}, bytes_.size() - sizeof value, value);
  }

  /// Replaces a number that was written before, at `offset`.
  template <std::unsigned_integral T> void replace(std::size_t offset, T value) {
    store_le(std::span{bytes_}, offset, value);
  }

  /// The same with bytes.
  void overwrite(std::size_t offset, std::span<const std::byte> bytes) {
    std::ranges::copy(bytes, std::span{bytes_}.subspan(offset).begin());
  }

  /// LEB128 of DWARF: seven bits a byte, the least ones first.
  void unsigned_leb128(std::uint64_t value) {
    constexpr std::uint64_t kBits = 0x7f;
    while (value > kBits) {
      bytes_.push_back(static_cast<std::byte>((value & kBits) | (kBits + 1)));
      value >>= 7U;
    }
    bytes_.push_back(static_cast<std::byte>(value));
  }

  void signed_leb128(std::int64_t value) {
    constexpr std::int64_t kSign = 0x40; // the last byte's; more bits of the same follow
    while (value >= kSign || value < -kSign) {
      bytes_.push_back(static_cast<std::byte>((static_cast<std::uint64_t>(value) & 0x7fU) | 0x80U));
      value >>= 7;
    }
    bytes_.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) & 0x7fU));
  }

  /// With a NUL at its end.
  void text(std::string_view text) {
    append(std::as_bytes(std::span{text}));
    bytes_.push_back(std::byte{0});
  }

  void append(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void zeros(std::size_t count) { bytes_.resize(bytes_.size() + count); }

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::byte> take() && { return std::move(bytes_); }

private:
  std::vector<std::byte> bytes_;
};

} // namespace vmemfs
