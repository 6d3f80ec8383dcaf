// SPDX-License-Identifier: MIT
// The process of a domain of a libvirt daemon on this host.
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection/connection.h"
#include "host/process.h"

#include <string>

namespace vmemfs::libvirt {

/// Of a QEMU domain: by libvirt's own run-time state, otherwise the only QEMU of this host that was started
/// with the domain's uuid. not_found: none is visible. invalid: there are several, such as while a domain is
/// migrated within the host, and the right one cannot be determined.
[[nodiscard]] Result<Process> find_domain_process(const ConnectionUri& uri, const DomainRun& run);

/// See VmIdentity::key: the same key that the other drivers give domains of this host.
[[nodiscard]] std::string domain_key(const Connection& connection, const DomainRun& run);

} // namespace vmemfs::libvirt
