// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"

#include <array>

namespace vmemfs::x86_64 {
namespace {

constexpr std::array kDescriptions = std::to_array<RegisterDescription>({
    {"rax", 64, "general"},
    {"rbx", 64, "general"},
    {"rcx", 64, "general"},
    {"rdx", 64, "general"},
    {"rsi", 64, "general"},
    {"rdi", 64, "general"},
    {"rbp", 64, "general"},
    {"rsp", 64, "general"},
    {"r8", 64, "general"},
    {"r9", 64, "general"},
    {"r10", 64, "general"},
    {"r11", 64, "general"},
    {"r12", 64, "general"},
    {"r13", 64, "general"},
    {"r14", 64, "general"},
    {"r15", 64, "general"},
    {"rip", 64, "general"},
    {"rflags", 64, "general"},
    {"cs.selector", 16, "segment"},
    {"cs.base", 64, "segment"},
    {"cs.limit", 32, "segment"},
    {"cs.attributes", 17, "segment"},
    {"ss.selector", 16, "segment"},
    {"ss.base", 64, "segment"},
    {"ss.limit", 32, "segment"},
    {"ss.attributes", 17, "segment"},
    {"ds.selector", 16, "segment"},
    {"ds.base", 64, "segment"},
    {"ds.limit", 32, "segment"},
    {"ds.attributes", 17, "segment"},
    {"es.selector", 16, "segment"},
    {"es.base", 64, "segment"},
    {"es.limit", 32, "segment"},
    {"es.attributes", 17, "segment"},
    {"fs.selector", 16, "segment"},
    {"fs.base", 64, "segment"},
    {"fs.limit", 32, "segment"},
    {"fs.attributes", 17, "segment"},
    {"gs.selector", 16, "segment"},
    {"gs.base", 64, "segment"},
    {"gs.limit", 32, "segment"},
    {"gs.attributes", 17, "segment"},
    {"ldt.selector", 16, "segment"},
    {"ldt.base", 64, "segment"},
    {"ldt.limit", 32, "segment"},
    {"ldt.attributes", 17, "segment"},
    {"tr.selector", 16, "segment"},
    {"tr.base", 64, "segment"},
    {"tr.limit", 32, "segment"},
    {"tr.attributes", 17, "segment"},
    {"gdt.base", 64, "table"},
    {"gdt.limit", 16, "table"},
    {"idt.base", 64, "table"},
    {"idt.limit", 16, "table"},
    {"cr0", 64, "control"},
    {"cr2", 64, "control"},
    {"cr3", 64, "control"},
    {"cr4", 64, "control"},
    {"cr8", 64, "control"},
    {"dr0", 64, "debug"},
    {"dr1", 64, "debug"},
    {"dr2", 64, "debug"},
    {"dr3", 64, "debug"},
    {"dr6", 64, "debug"},
    {"dr7", 64, "debug"},
    {"efer", 64, "msr"},
    {"star", 64, "msr"},
    {"lstar", 64, "msr"},
    {"cstar", 64, "msr"},
    {"sfmask", 64, "msr"},
    {"kernel_gs_base", 64, "msr"},
    {"sysenter_cs", 64, "msr"},
    {"sysenter_esp", 64, "msr"},
    {"sysenter_eip", 64, "msr"},
    {"pat", 64, "msr"},
});
static_assert(kDescriptions.size() == kRegisterCount);
static_assert(kDescriptions.size() <= kMaxRegisters);

constexpr RegisterLayout kLayout{"x86_64", kDescriptions, "rbx"};

} // namespace

const RegisterLayout& register_layout() { return kLayout; }

std::string_view to_string(Register reg) { return kLayout.name(reg); }

std::optional<Register> register_by_name(std::string_view name) {
  const auto found = kLayout.find(name);
  return found ? std::optional{static_cast<Register>(found->value())} : std::nullopt;
}

} // namespace vmemfs::x86_64
