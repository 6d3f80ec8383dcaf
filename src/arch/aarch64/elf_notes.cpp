// SPDX-License-Identifier: MIT
#include "arch/aarch64/elf_notes.h"

#include "arch/aarch64/registers.h"
#include "arch/prstatus_fields.h"
#include "core/little_endian.h"

namespace vmemfs::aarch64 {
namespace {

/// x0 to x30, sp, pc and pstate, as in our layout.
constexpr std::size_t kCount = static_cast<std::size_t>(Register::cpsr) + 1;
constexpr Register register_at(std::size_t number) { return static_cast<Register>(number); }

constexpr std::size_t place_of(std::size_t number) {
  return kPrstatusRegisters + sizeof(std::uint64_t) * number;
}
static_assert(place_of(kCount) <= kPrstatusBytes);

} // namespace

Prstatus prstatus(const RegisterSet& registers, std::uint32_t pid) {
  Prstatus bytes{};
  store_le(std::span{bytes}, kPrstatusPid, pid);
  for (std::size_t i = 0; i < kCount; ++i) {
    store_le(std::span{bytes}, place_of(i), registers.get(register_at(i)).value_or(0));
  }
  return bytes;
}

RegisterSet prstatus_registers(std::span<const std::byte, kPrstatusBytes> note) {
  RegisterSet registers{register_layout()};
  for (std::size_t i = 0; i < kCount; ++i) {
    registers.set(register_at(i), load_le<std::uint64_t>(note, place_of(i)));
  }
  return registers;
}

} // namespace vmemfs::aarch64
