// SPDX-License-Identifier: MIT
#include "drivers/xen/state/domain_info.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <span>
#include <utility>

namespace vmemfs::xen {
namespace {

/// In the form of `xl list -u`.
std::string uuid_text(const xen_domain_handle_t& handle) {
  std::string text;
  for (std::size_t i = 0; i < sizeof(handle); ++i) {
    const bool dash = i == 4 || i == 6 || i == 8 || i == 10;
    text += fmt::format("{}{:02x}", dash ? "-" : "", static_cast<unsigned>(handle[i]));
  }
  return text;
}

/// True for PVH: such a domain has an interrupt controller per vCPU, emulated by Xen, and no other device.
DomainKind kind_of(const xc_domaininfo_t& info) {
  if ((info.flags & XEN_DOMINF_hvm_guest) == 0) {
    return DomainKind::pv;
  }
  constexpr std::uint32_t kWithDeviceModel = XEN_X86_EMU_PM | XEN_X86_EMU_RTC | XEN_X86_EMU_IOAPIC |
                                             XEN_X86_EMU_PIC | XEN_X86_EMU_PIT | XEN_X86_EMU_VGA;
  return (info.arch_config.emulation_flags & kWithDeviceModel) != 0 ? DomainKind::hvm : DomainKind::pvh;
}

DomainInfo to_domain_info(const xc_domaininfo_t& raw) {
  DomainInfo info;
  info.id = raw.domain;
  info.uuid = uuid_text(raw.handle);
  info.kind = kind_of(raw);
  info.dying = (raw.flags & XEN_DOMINF_dying) != 0;
  info.paused = (raw.flags & XEN_DOMINF_paused) != 0;
  info.on_cpu = (raw.flags & XEN_DOMINF_running) != 0;
  info.shut_down = (raw.flags & XEN_DOMINF_shutdown) != 0;
  info.shutdown_reason = (raw.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
  info.pages = raw.tot_pages;
  info.max_pages = raw.max_pages;
  info.vcpus = raw.max_vcpu_id == XEN_INVALID_MAX_VCPU_ID ? 0 : raw.max_vcpu_id + 1;
  info.cpu_time = std::chrono::nanoseconds{static_cast<std::int64_t>(raw.cpu_time)};
  return info;
}

/// Fills `raw`; 0, or the errno. ESRCH if there is no such domain.
int ask_for(xc_interface* control, std::uint32_t id, xc_domaininfo_t& raw) {
#ifdef VMEMFS_XEN_GETINFO_SINGLE // since Xen 4.18
  return xc_domain_getinfo_single(control, id, &raw) == 0 ? 0 : errno;
#else
  const int count = xc_domain_getinfolist(control, id, 1, &raw);
  if (count < 0) {
    return errno;
  }
  return count == 1 && raw.domain == id ? 0 : ESRCH; // otherwise it is the next domain
#endif
}

} // namespace

std::string_view to_string(DomainKind kind) {
  switch (kind) {
  case DomainKind::pv: return "PV";
  case DomainKind::pvh: return "PVH";
  case DomainKind::hvm: return "HVM";
  }
  return "unknown";
}

Result<DomainInfo> domain_info(xc_interface* control, std::uint32_t id) {
  xc_domaininfo_t raw{};
  switch (const int os_errno = ask_for(control, id, raw)) {
  case 0: return to_domain_info(raw);
  case ESRCH: return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no domain {}", id));
  case EPERM:
  case EACCES:
    return fail(ErrorKind::permission, kOrigin,
                "the hypervisor gives information on other domains only to domain 0 or a control domain");
  default: return fail_errno(os_errno, kOrigin, fmt::format("cannot get information on domain {}", id));
  }
}

Result<VcpuSet> online_vcpus(xc_interface* control, std::uint32_t id, std::uint32_t limit) {
  std::vector<VcpuId> online;
  for (std::uint32_t vcpu = 0; vcpu < limit; ++vcpu) {
    xc_vcpuinfo_t info{};
    if (xc_vcpu_getinfo(control, id, vcpu, &info) == 0) {
      if (info.online != 0) {
        online.emplace_back(vcpu);
      }
    } else if (errno != ESRCH || vcpu == 0) { // numbers may have gaps
      return fail_errno(errno, kOrigin, fmt::format("cannot get information on vCPU {}", vcpu));
    }
  }
  return VcpuSet::of(std::move(online), kOrigin);
}

Result<std::vector<DomainInfo>> all_domains(xc_interface* control) {
  std::vector<DomainInfo> domains;
  std::array<xc_domaininfo_t, 64> raw{};
  for (std::uint32_t next = 0;;) {
    const int count = xc_domain_getinfolist(control, next, raw.size(), raw.data());
    if (count < 0) {
      return fail_errno(errno, kOrigin, "cannot list the domains");
    }
    if (count == 0) {
      return domains;
    }
    for (const xc_domaininfo_t& info : std::span{raw}.first(static_cast<std::size_t>(count))) {
      domains.push_back(to_domain_info(info));
    }
    next = domains.back().id + 1;
  }
}

std::string_view shutdown_name(unsigned reason) {
  switch (reason) {
  case SHUTDOWN_poweroff: return "powered off";
  case SHUTDOWN_reboot: return "rebooting";
  case SHUTDOWN_suspend: return "suspended";
  case SHUTDOWN_crash: return "crashed";
  case SHUTDOWN_watchdog: return "stopped by its watchdog";
  case SHUTDOWN_soft_reset: return "resetting";
  default: return "shut down";
  }
}

} // namespace vmemfs::xen
