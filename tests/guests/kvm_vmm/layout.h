// SPDX-License-Identifier: MIT
// Memory of the guest of kvm_vmm, for the program and the tests.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmemfs::test::kvm_vmm {

/// A memory slot.
struct Piece {
  std::uint64_t gpa;
  std::size_t size;

  friend bool operator==(const Piece&, const Piece&) = default;
};

inline constexpr std::uint64_t kHigh = std::uint64_t{4} << 30U;

// Low and high RAM are one mapping of the process, as a VMM has it.
inline constexpr Piece kLow{0, 2 << 20};
inline constexpr Piece kAbove{kHigh, 4 << 20};
inline constexpr Piece kRom{kHigh - (64 << 10), 64 << 10}; ///< read-only for the guest
inline constexpr Piece kPlugged{kHigh + (64 << 20), 2 << 20};

inline constexpr std::uint64_t kCode = 0x1000;
inline constexpr std::uint64_t kCounter = 0x2000; ///< 32 bits, which the guest counts up
/// Of each vCPU. Behind the counter, at +8, the lower half of its rbx, written in each round.
inline constexpr std::uint64_t code_of(unsigned vcpu) { return kCode + 0x40 * std::uint64_t{vcpu}; }
inline constexpr std::uint64_t counter_of(unsigned vcpu) { return kCounter + 0x10 * std::uint64_t{vcpu}; }
/// From here on, RAM above 4 GiB was never touched.
inline constexpr std::uint64_t kUntouched = kHigh + (1 << 20);

/// What the 8 bytes at `gpa` are, where the guest does not change them.
inline constexpr std::uint64_t pattern(std::uint64_t gpa) { return gpa * 0x9e3779b97f4a7c15 + 1; }

} // namespace vmemfs::test::kvm_vmm
