// SPDX-License-Identifier: MIT
// Resume tickets of the drivers that have them.
#include "drivers/pmemaccess/monitor/resume_ticket.h"
#include "drivers/qemu/monitor/resume_ticket.h"
#include "drivers/vbox/guest/resume_ticket.h"
#include "fuzz/fuzz_target.h"
#ifdef VMEMFS_WITH_GDBSTUB
#include "drivers/gdbstub/session/resume_ticket.h"
#endif
#ifdef VMEMFS_WITH_KVM
#include "drivers/kvm/api/resume_ticket.h"
#endif
#ifdef VMEMFS_WITH_LIBVIRT
#include "drivers/libvirt/domain/resume_ticket.h"
#endif
#ifdef VMEMFS_WITH_XEN
#include "drivers/xen/state/resume_ticket.h"
#endif

template <typename Parse> static void check(Parse parse, std::string_view text) {
  if (const auto ticket = parse(text)) {
    const auto again = parse(to_text(*ticket));
    vmemfs::fuzz::expect(again && to_text(*again) == to_text(*ticket), "a ticket reads back unchanged");
  }
}

FUZZ_TARGET(text) {
  check(vmemfs::pmemaccess::parse_resume_ticket, text);
  check(vmemfs::qemu::parse_resume_ticket, text);
  check(vmemfs::vbox::parse_resume_ticket, text);
#ifdef VMEMFS_WITH_GDBSTUB
  check(vmemfs::gdbstub::parse_resume_ticket, text);
#endif
#ifdef VMEMFS_WITH_KVM
  check(vmemfs::kvm::parse_resume_ticket, text);
#endif
#ifdef VMEMFS_WITH_LIBVIRT
  check(vmemfs::libvirt::parse_resume_ticket, text);
#endif
#ifdef VMEMFS_WITH_XEN
  check(vmemfs::xen::parse_resume_ticket, text);
#endif
}
