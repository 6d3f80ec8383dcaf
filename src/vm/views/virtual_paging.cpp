// SPDX-License-Identifier: MIT
#include "vm/views/virtual_paging.h"

#include "arch/riscv64/registers.h"
#include "arch/x86_64/mapped_ranges.h"
#include "arch/x86_64/registers.h"

#include <fmt/format.h>
#include <string_view>

namespace vmemfs {
namespace {

Result<VirtualPaging> no_paging(std::string_view why) {
  return fail(ErrorKind::unsupported, "virt", fmt::format("cannot translate virtual addresses: {}", why));
}

} // namespace

bool has_known_paging(const RegisterLayout& layout) {
  return &layout == &x86_64::register_layout() || &layout == &riscv64::register_layout();
}

// Each looks for registers of its own architecture.
bool can_have_virtual_paging(const RegisterSet& registers) {
  return x86_64::can_have_paging(registers) || riscv64::can_have_paging(registers);
}

Result<VirtualPaging> virtual_paging_of(const RegisterSet& registers) {
  if (const auto paging = x86_64::paging_of(registers)) {
    return *paging;
  }
  if (const auto paging = riscv64::paging_of(registers)) {
    return *paging;
  }
  return no_paging(riscv64::can_have_paging(registers)
                       ? "satp has a mode that is not known, or the hart runs a guest of its own"
                       : "the source does not report the registers that decide how, as of Xen PV domains");
}

std::optional<VirtualPage> translate(const VirtualPaging& paging, std::uint64_t address,
                                     const ReadEntry& read) {
  return std::visit(
      [&](const auto& of_architecture) -> std::optional<VirtualPage> {
        const auto mapped = translate(of_architecture, address, read);
        return mapped ? std::optional{VirtualPage{mapped->gpa, mapped->left}} : std::nullopt;
      },
      paging);
}

std::vector<MappedRange> list_mapped(const VirtualPaging& paging, const ReadTable& read,
                                     const ListLimits& limits) {
  return std::visit([&](const auto& of_architecture) { return list_mapped(of_architecture, read, limits); },
                    paging);
}

} // namespace vmemfs
