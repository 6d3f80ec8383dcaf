// SPDX-License-Identifier: MIT
// libvirt's description of a domain.
#include "drivers/libvirt/domain/domain_xml.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  const auto domain = vmemfs::libvirt::parse_domain_xml(text);
  if (domain) {
    vmemfs::fuzz::expect(domain->memory_bytes != 0, "a domain has memory");
    static_cast<void>(vmemfs::libvirt::map_by_description(*domain));
  }
}
