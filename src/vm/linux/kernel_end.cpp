// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_end.h"

#include "arch/x86_64/registers.h"
#include "vm/linux/kernel_examination.h"
#include "vm/linux/kernel_facts.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vmemfs {
namespace {

using x86_64::Register;

/// They halt a vCPU for good: for a reboot, kexec or panic, and for a capture kernel after a crash.
constexpr std::array<std::string_view, 2> kStopFunctions{"stop_this_cpu", "crash_nmi_callback"};

bool has_paging(const RegisterSet& vcpu) {
  constexpr std::uint64_t kPaging = 1ULL << 31U;
  return (vcpu.get(Register::cr0).value_or(0) & kPaging) != 0;
}

/// In the kernel, and takes no interrupts.
bool may_be_stopped(const RegisterSet& vcpu) {
  constexpr std::uint64_t kPrivilegeLevel = 3;
  constexpr std::uint64_t kInterrupts = 1ULL << 9U;
  return (vcpu.get(Register::cs_selector).value_or(0) & kPrivilegeLevel) == 0 &&
         (vcpu.get(Register::rflags).value_or(kInterrupts) & kInterrupts) == 0;
}

/// Whether the address belongs to the function with this name: no other symbol is between them.
bool is_in(std::uint64_t address, std::string_view function, const KernelSymbols& symbols) {
  const auto begin = symbols.find(function);
  return begin && *begin <= address &&
         std::ranges::none_of(symbols.all(), [begin = *begin, address](const KernelSymbol& symbol) {
           return begin < symbol.address && symbol.address <= address;
         });
}

} // namespace

bool has_ended(AddressSpace& memory, const LinuxKernel& kernel, std::span<const RegisterSet> vcpus,
               std::chrono::seconds limit) {
  if (vcpus.size() < 2 || std::ranges::none_of(vcpus, may_be_stopped)) {
    return false; // as nearly always
  }
  std::vector<std::uint64_t> places; // of those that run it
  std::size_t others = 0;
  for (const RegisterSet& vcpu : vcpus) {
    if (!has_paging(vcpu)) {
      continue;
    }
    if (!examine_kernel(memory, kernel.page, {&vcpu, 1}, limit)) {
      ++others;
    } else if (may_be_stopped(vcpu)) {
      places.push_back(vcpu.get(Register::rip).value_or(0));
    } else {
      return false;
    }
  }
  if (others == 0) {
    return false;
  }
  KernelFacts facts{memory, kernel};
  const auto symbols = facts.symbols();
  // Without them it is not whole any more, as the next kernel has some of its memory.
  return !symbols || std::ranges::all_of(places, [&](std::uint64_t place) {
    return std::ranges::any_of(kStopFunctions,
                               [&](std::string_view function) { return is_in(place, function, **symbols); });
  });
}

} // namespace vmemfs
