// SPDX-License-Identifier: MIT
#include "arch/riscv64/elf_notes.h"

#include "arch/prstatus.h"
#include "arch/riscv64/registers.h"

namespace vmemfs::riscv64 {
namespace {

/// pc in the place of x0, and x1 to x31, as in our layout.
constexpr auto kOrder = [] {
  std::array<Register, 32> order{};
  for (std::size_t i = 0; i < order.size(); ++i) {
    order.at(i) = i == 0 ? Register::pc : static_cast<Register>(i);
  }
  return order;
}();

} // namespace

Prstatus prstatus(const RegisterSet& registers, std::uint32_t pid) {
  return make_prstatus<kPrstatusBytes>(registers, pid, kOrder);
}

RegisterSet prstatus_registers(std::span<const std::byte, kPrstatusBytes> note) {
  RegisterSet registers{register_layout()};
  take_prstatus(note, kOrder, registers);
  return registers;
}

} // namespace vmemfs::riscv64
