// SPDX-License-Identifier: MIT
// Strong types for what guests number: physical addresses, page frames, vCPUs.
//
// A guest physical address is always 64 bits wide and never mixes with a host size or pointer
// without an explicit value(). Ranges are half-open: [begin, end).
#pragma once

#include <compare>
#include <cstdint>

namespace vmemfs {

inline constexpr unsigned kPageShift = 12;
inline constexpr std::uint64_t kPageSize = std::uint64_t{1} << kPageShift;

/// Addresses at or above this cannot be file offsets (off_t is signed), so no region may reach them.
inline constexpr std::uint64_t kGpaLimit = std::uint64_t{1} << 63;

/// Guest physical address.
class Gpa {
public:
  constexpr Gpa() = default;
  constexpr explicit Gpa(std::uint64_t value) : value_{value} {}

  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  [[nodiscard]] constexpr Gpa page_start() const { return Gpa{value_ & ~(kPageSize - 1)}; }
  [[nodiscard]] constexpr std::uint64_t page_offset() const { return value_ & (kPageSize - 1); }

  friend constexpr auto operator<=>(Gpa, Gpa) = default;
  friend constexpr Gpa operator+(Gpa gpa, std::uint64_t bytes) { return Gpa{gpa.value_ + bytes}; }
  friend constexpr std::uint64_t operator-(Gpa a, Gpa b) { return a.value_ - b.value_; }

private:
  std::uint64_t value_ = 0;
};

/// Guest frame number: a guest physical address in units of 4 KiB pages.
class Gfn {
public:
  constexpr Gfn() = default;
  constexpr explicit Gfn(std::uint64_t value) : value_{value} {}
  constexpr explicit Gfn(Gpa gpa) : value_{gpa.value() >> kPageShift} {}

  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  [[nodiscard]] constexpr Gpa gpa() const { return Gpa{value_ << kPageShift}; }

  friend constexpr auto operator<=>(Gfn, Gfn) = default;

private:
  std::uint64_t value_ = 0;
};

/// Index of a virtual CPU, from 0, as in `vcpus/N`.
class VcpuId {
public:
  constexpr VcpuId() = default;
  constexpr explicit VcpuId(std::uint32_t value) : value_{value} {}

  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }

  friend constexpr auto operator<=>(VcpuId, VcpuId) = default;

private:
  std::uint32_t value_ = 0;
};

/// Half-open range of guest physical addresses.
struct GpaRange {
  Gpa begin;
  Gpa end;

  [[nodiscard]] constexpr std::uint64_t size() const { return end - begin; }
  [[nodiscard]] constexpr bool empty() const { return begin >= end; }
  [[nodiscard]] constexpr bool contains(Gpa gpa) const { return begin <= gpa && gpa < end; }

  friend constexpr bool operator==(const GpaRange&, const GpaRange&) = default;
};

} // namespace vmemfs
