// SPDX-License-Identifier: MIT
#include "arch/aarch64/elf_notes.h"

#include "arch/aarch64/registers.h"
#include "arch/prstatus.h"

namespace vmemfs::aarch64 {
namespace {

/// x0 to x30, sp, pc and pstate, as in our layout.
constexpr auto kOrder = [] {
  std::array<Register, static_cast<std::size_t>(Register::cpsr) + 1> order{};
  for (std::size_t i = 0; i < order.size(); ++i) {
    order.at(i) = static_cast<Register>(i);
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

} // namespace vmemfs::aarch64
