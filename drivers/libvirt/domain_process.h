// SPDX-License-Identifier: MIT
// The process that a domain of a libvirt daemon of this host is.
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection.h"
#include "host/process.h"

#include <string>

namespace vmemfs::libvirt {

/// Of a QEMU domain. By libvirt's own run-time state, else the only QEMU of this host that was started with
/// the domain's uuid. not_found: there is none that we can see. invalid: there are several, as while a domain
/// is migrated within the host, and which one can't be told.
[[nodiscard]] Result<Process> find_domain_process(const ConnectionUri& uri, const DomainRun& run);

/// See VmIdentity::key: as the other drivers have it that know domains of this host.
[[nodiscard]] std::string domain_key(const Connection& connection, const DomainRun& run);

} // namespace vmemfs::libvirt
