// SPDX-License-Identifier: MIT
// Note with a thread's general registers, `struct elf_prstatus` of Linux (include/linux/elfcore.h), for
// architectures whose registers are all of 64 bits there: one after the other.
#pragma once

#include "core/little_endian.h"
#include "core/register_set.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

inline constexpr std::size_t kPrstatusPid = 32;        ///< number of the thread, 4 bytes
inline constexpr std::size_t kPrstatusRegisters = 112; ///< as the architecture lays them out

/// `order`: of the registers in the note. Absent ones are 0.
template <std::size_t kBytes, typename Register, std::size_t kCount> std::array<std::byte, kBytes>
make_prstatus(const RegisterSet& registers, std::uint32_t pid, const std::array<Register, kCount>& order) {
  static_assert(kPrstatusRegisters + kCount * sizeof(std::uint64_t) <= kBytes);
  std::array<std::byte, kBytes> bytes{};
  store_le(std::span{bytes}, kPrstatusPid, pid);
  std::size_t at = kPrstatusRegisters;
  for (const Register each : order) {
    store_le(std::span{bytes}, at, registers.get(each).value_or(0));
    at += sizeof(std::uint64_t);
  }
  return bytes;
}

/// Sets the registers of such a note.
template <std::size_t kBytes, typename Register, std::size_t kCount>
void take_prstatus(std::span<const std::byte, kBytes> note, const std::array<Register, kCount>& order,
                   RegisterSet& registers) {
  static_assert(kPrstatusRegisters + kCount * sizeof(std::uint64_t) <= kBytes);
  std::size_t at = kPrstatusRegisters;
  for (const Register each : order) {
    registers.set(each, load_le<std::uint64_t>(note, at));
    at += sizeof(std::uint64_t);
  }
}

} // namespace vmemfs
