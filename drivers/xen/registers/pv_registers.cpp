// SPDX-License-Identifier: MIT
#include "drivers/xen/registers/pv_registers.h"

#include "arch/x86_64/registers.h"

#include <cerrno>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <type_traits>

namespace vmemfs::xen {
namespace {

using x86_64::Register;

constexpr unsigned kBitsOfAByte = 8;

/// Calls take(register, reference to its place, whether it can be set) for each, in either form.
template <typename Context, typename Take> void for_each_common(Context& context, Take&& take) {
  auto& user = context.user_regs;
  take(Register::cs_selector, user.cs, true);
  take(Register::ss_selector, user.ss, true);
  take(Register::ds_selector, user.ds, true);
  take(Register::es_selector, user.es, true);
  take(Register::fs_selector, user.fs, true);
  take(Register::gs_selector, user.gs, true);
  take(Register::ldt_base, context.ldt_base, false);
  take(Register::cr0, context.ctrlreg[0], false);
  take(Register::cr2, context.ctrlreg[2], false);
  take(Register::cr3, context.ctrlreg[3], false);
  take(Register::cr4, context.ctrlreg[4], false);
  take(Register::dr0, context.debugreg[0], true);
  take(Register::dr1, context.debugreg[1], true);
  take(Register::dr2, context.debugreg[2], true);
  take(Register::dr3, context.debugreg[3], true);
  take(Register::dr6, context.debugreg[6], true);
  take(Register::dr7, context.debugreg[7], true);
}

template <typename Take> void for_each(vcpu_guest_context_x86_64_t& context, Take&& take) {
  auto& user = context.user_regs;
  take(Register::rax, user.rax, true);
  take(Register::rbx, user.rbx, true);
  take(Register::rcx, user.rcx, true);
  take(Register::rdx, user.rdx, true);
  take(Register::rsi, user.rsi, true);
  take(Register::rdi, user.rdi, true);
  take(Register::rbp, user.rbp, true);
  take(Register::rsp, user.rsp, true);
  take(Register::r8, user.r8, true);
  take(Register::r9, user.r9, true);
  take(Register::r10, user.r10, true);
  take(Register::r11, user.r11, true);
  take(Register::r12, user.r12, true);
  take(Register::r13, user.r13, true);
  take(Register::r14, user.r14, true);
  take(Register::r15, user.r15, true);
  take(Register::rip, user.rip, true);
  take(Register::rflags, user.rflags, true);
  take(Register::fs_base, context.fs_base, true);
  // Which of the two is in use depends on whether the guest's kernel runs.
  const bool in_kernel = (context.flags & VGCF_IN_KERNEL) != 0;
  take(Register::gs_base, in_kernel ? context.gs_base_kernel : context.gs_base_user, true);
  take(Register::kernel_gs_base, in_kernel ? context.gs_base_user : context.gs_base_kernel, true);
  for_each_common(context, take);
}

template <typename Take> void for_each(vcpu_guest_context_x86_32_t& context, Take&& take) {
  auto& user = context.user_regs;
  take(Register::rax, user.eax, true);
  take(Register::rbx, user.ebx, true);
  take(Register::rcx, user.ecx, true);
  take(Register::rdx, user.edx, true);
  take(Register::rsi, user.esi, true);
  take(Register::rdi, user.edi, true);
  take(Register::rbp, user.ebp, true);
  take(Register::rsp, user.esp, true);
  take(Register::rip, user.eip, true);
  take(Register::rflags, user.eflags, true);
  for_each_common(context, take);
}

/// Either form, by the guest's bits.
template <typename Take> void for_each(vcpu_guest_context_any_t& context, unsigned guest_bits, Take&& take) {
  if (guest_bits == 32) {
    for_each(context.x32, take);
  } else {
    for_each(context.x64, take);
  }
}

using Context = std::unique_ptr<vcpu_guest_context_any_t>; // 5 KiB

tl::unexpected<Error> context_error(int os_errno, VcpuId vcpu, std::string_view what) {
  switch (os_errno) {
  case ENODATA:
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("vCPU {} is offline and has no registers", vcpu.value()));
  case ESRCH: return fail(ErrorKind::vm_gone, kOrigin, "the domain has ended");
  default:
    return fail_errno(os_errno, kOrigin,
                      fmt::format("cannot {} the registers of vCPU {}", what, vcpu.value()));
  }
}

Result<Context> read_context(xc_interface* control, std::uint32_t domain, VcpuId vcpu) {
  auto context = std::make_unique<vcpu_guest_context_any_t>();
  if (xc_vcpu_getcontext(control, domain, vcpu.value(), context.get()) != 0) {
    return context_error(errno, vcpu, "read");
  }
  return context;
}

/// Why a value cannot be put there; nothing where it was.
std::optional<Error> put(vcpu_guest_context_any_t& context, unsigned guest_bits,
                         const RegisterValue& wanted) {
  std::optional<Error> why = Error{ErrorKind::unsupported, std::string{kOrigin},
                                   fmt::format("{} of a {}-bit PV domain cannot be set",
                                               x86_64::register_layout().name(wanted.reg), guest_bits)};
  for_each(context, guest_bits, [&](Register reg, auto& place, bool can_be_set) {
    using Value = std::remove_reference_t<decltype(place)>;
    if (reg != wanted.reg || (!can_be_set && place != wanted.value)) {
      return;
    }
    if (static_cast<Value>(wanted.value) != wanted.value) {
      why = Error{ErrorKind::invalid, std::string{kOrigin},
                  fmt::format("{} has {} bits, {:#x} does not fit", to_string(reg),
                              kBitsOfAByte * sizeof(Value), wanted.value)};
      return;
    }
    place = static_cast<Value>(wanted.value);
    why.reset();
  });
  return why;
}

} // namespace

Result<unsigned> pv_guest_bits(xc_interface* control, std::uint32_t domain) {
  unsigned bytes = 0;
  if (xc_domain_get_guest_width(control, domain, &bytes) != 0) {
    return fail_errno(errno, kOrigin, "cannot ask whether the domain is of 32 or 64 bits");
  }
  return bytes * kBitsOfAByte;
}

bool pv_has_register(unsigned guest_bits, RegisterIndex reg) {
  const auto all = [](unsigned bits) {
    const auto context = std::make_unique<vcpu_guest_context_any_t>();
    RegisterSet registers{x86_64::register_layout()};
    for_each(*context, bits, [&](Register each, const auto&, bool) { registers.set(each, 0); });
    return registers;
  };
  static const RegisterSet kOf32Bits = all(32);
  static const RegisterSet kOf64Bits = all(64);
  return (guest_bits == 32 ? kOf32Bits : kOf64Bits).get(reg).has_value();
}

Result<RegisterSet> read_pv_registers(xc_interface* control, std::uint32_t domain, unsigned guest_bits,
                                      VcpuId vcpu) {
  const auto context = read_context(control, domain, vcpu);
  if (!context) {
    return tl::unexpected{context.error()};
  }
  RegisterSet registers{x86_64::register_layout()};
  for_each(**context, guest_bits, [&](Register reg, const auto& place, bool) { registers.set(reg, place); });
  return registers;
}

Result<void> write_pv_registers(xc_interface* control, std::uint32_t domain, unsigned guest_bits, VcpuId vcpu,
                                std::span<const RegisterValue> values) {
  const auto context = read_context(control, domain, vcpu);
  if (!context) {
    return tl::unexpected{context.error()};
  }
  for (const RegisterValue& value : values) {
    if (auto why = put(**context, guest_bits, value)) {
      return tl::unexpected{std::move(*why)};
    }
  }
  if (xc_vcpu_setcontext(control, domain, vcpu.value(), context->get()) != 0) {
    if (errno == EINVAL || errno == EOPNOTSUPP) {
      return fail(ErrorKind::invalid, kOrigin,
                  fmt::format("Xen does not take these values for vCPU {}", vcpu.value()));
    }
    return context_error(errno, vcpu, "set");
  }
  return {};
}

} // namespace vmemfs::xen
