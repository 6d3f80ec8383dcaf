// SPDX-License-Identifier: MIT
#include "drivers/xen/registers/hvm_context.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <vector>

namespace vmemfs::xen {
namespace {

tl::unexpected<Error> context_error(int os_errno, VcpuId vcpu, std::string_view what) {
  if (os_errno == ENODATA) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("vCPU {} is offline and has no registers", vcpu.value()));
  }
  if (os_errno == ESRCH) {
    return fail(ErrorKind::vm_gone, kOrigin, "the domain has ended");
  }
  return fail_errno(os_errno, kOrigin, fmt::format("cannot {} the registers of vCPU {}", what, vcpu.value()));
}

/// The header of a saved domain; Xen accepts no record without it.
Result<hvm_save_header> read_header(xc_interface* control, std::uint32_t domain) {
  const int size = xc_domain_hvm_getcontext(control, domain, nullptr, 0);
  if (size < 0) {
    return fail_errno(errno, kOrigin, "cannot get the size of the domain's state");
  }
  std::vector<std::uint8_t> saved(static_cast<std::size_t>(size));
  const int got =
      xc_domain_hvm_getcontext(control, domain, saved.data(), static_cast<std::uint32_t>(saved.size()));
  if (got < 0) {
    return fail_errno(errno, kOrigin, "cannot read the domain's state");
  }
  hvm_save_header header{};
  if (saved.size() >= sizeof(hvm_save_descriptor) + sizeof(header)) {
    std::memcpy(&header, saved.data() + sizeof(hvm_save_descriptor), sizeof(header));
  }
  if (header.magic != HVM_FILE_MAGIC) {
    return fail(ErrorKind::source_failed, kOrigin,
                "the domain's state does not begin with the header that Xen's interface defines");
  }
  return header;
}

void append(std::vector<std::uint8_t>& context, const hvm_save_descriptor& what, const void* record) {
  const std::size_t at = context.size();
  context.resize(at + sizeof(what) + what.length);
  std::memcpy(context.data() + at, &what, sizeof(what));
  if (what.length > 0) {
    std::memcpy(context.data() + at + sizeof(what), record, what.length);
  }
}

} // namespace

Result<void> read_record(xc_interface* control, std::uint32_t domain, std::uint16_t code, VcpuId vcpu,
                         void* record, std::uint32_t size) {
  const auto instance = static_cast<std::uint16_t>(vcpu.value());
  if (xc_domain_hvm_getcontext_partial(control, domain, code, instance, record, size) != 0) {
    return context_error(errno, vcpu, "read");
  }
  return {};
}

Result<void> write_cpu_record(xc_interface* control, std::uint32_t domain, VcpuId vcpu,
                              const hvm_hw_cpu& cpu) {
  const auto header = read_header(control, domain);
  if (!header) {
    return tl::unexpected{header.error()};
  }
  std::vector<std::uint8_t> context;
  append(context, {sizeof(__HVM_SAVE_TYPE_HEADER::c), 0, sizeof(hvm_save_header)}, &*header);
  append(context, {kRecordCode<hvm_hw_cpu>, static_cast<std::uint16_t>(vcpu.value()), sizeof(cpu)}, &cpu);
  append(context, {0, 0, 0}, nullptr);
  if (xc_domain_hvm_setcontext(control, domain, context.data(), static_cast<std::uint32_t>(context.size())) !=
      0) {
    if (errno == EINVAL) {
      return fail(
          ErrorKind::invalid, kOrigin,
          fmt::format(
              "Xen refuses these values for vCPU {}: they are inconsistent, or not possible on this CPU",
              vcpu.value()));
    }
    return context_error(errno, vcpu, "set");
  }
  return {};
}

} // namespace vmemfs::xen
