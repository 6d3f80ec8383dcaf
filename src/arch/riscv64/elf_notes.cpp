// SPDX-License-Identifier: MIT
#include "arch/riscv64/elf_notes.h"

#include "arch/prstatus_fields.h"
#include "arch/riscv64/registers.h"
#include "core/little_endian.h"

namespace vmemfs::riscv64 {
namespace {

/// pc in the place of x0, and x1 to x31, as in our layout.
constexpr std::size_t kCount = 32;
constexpr Register register_at(std::size_t number) {
  return number == 0 ? Register::pc : static_cast<Register>(number);
}

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

} // namespace vmemfs::riscv64
