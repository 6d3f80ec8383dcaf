// SPDX-License-Identifier: MIT
#include "arch/aarch64/registers.h"

#include <array>

namespace vmemfs::aarch64 {
namespace {

constexpr std::array kDescriptions = std::to_array<RegisterDescription>({
    {"x0", 64, "general"},
    {"x1", 64, "general"},
    {"x2", 64, "general"},
    {"x3", 64, "general"},
    {"x4", 64, "general"},
    {"x5", 64, "general"},
    {"x6", 64, "general"},
    {"x7", 64, "general"},
    {"x8", 64, "general"},
    {"x9", 64, "general"},
    {"x10", 64, "general"},
    {"x11", 64, "general"},
    {"x12", 64, "general"},
    {"x13", 64, "general"},
    {"x14", 64, "general"},
    {"x15", 64, "general"},
    {"x16", 64, "general"},
    {"x17", 64, "general"},
    {"x18", 64, "general"},
    {"x19", 64, "general"},
    {"x20", 64, "general"},
    {"x21", 64, "general"},
    {"x22", 64, "general"},
    {"x23", 64, "general"},
    {"x24", 64, "general"},
    {"x25", 64, "general"},
    {"x26", 64, "general"},
    {"x27", 64, "general"},
    {"x28", 64, "general"},
    {"x29", 64, "general"},
    {"x30", 64, "general"},
    {"sp", 64, "general"},
    {"pc", 64, "general"},
    {"cpsr", 32, "general"},
    {"sp_el0", 64, "system"},
    {"sp_el1", 64, "system"},
    {"elr_el1", 64, "system"},
    {"spsr_el1", 64, "system"},
    {"sctlr_el1", 64, "system"},
    {"actlr_el1", 64, "system"},
    {"cpacr_el1", 64, "system"},
    {"ttbr0_el1", 64, "system"},
    {"ttbr1_el1", 64, "system"},
    {"tcr_el1", 64, "system"},
    {"mair_el1", 64, "system"},
    {"amair_el1", 64, "system"},
    {"vbar_el1", 64, "system"},
    {"esr_el1", 64, "system"},
    {"far_el1", 64, "system"},
    {"afsr0_el1", 64, "system"},
    {"afsr1_el1", 64, "system"},
    {"par_el1", 64, "system"},
    {"contextidr_el1", 64, "system"},
    {"tpidr_el0", 64, "system"},
    {"tpidrro_el0", 64, "system"},
    {"tpidr_el1", 64, "system"},
    {"cntkctl_el1", 64, "system"},
    {"mdscr_el1", 64, "system"},
    {"midr_el1", 64, "system"},
});
static_assert(kDescriptions.size() == kRegisterCount);
static_assert(kDescriptions.size() <= kMaxRegisters);

constexpr RegisterLayout kLayout{"aarch64", kDescriptions, "x1"};

} // namespace

const RegisterLayout& register_layout() { return kLayout; }

std::string_view to_string(Register reg) { return kLayout.name(reg); }

} // namespace vmemfs::aarch64
