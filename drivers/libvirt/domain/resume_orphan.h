// SPDX-License-Identifier: MIT
// Resume of a domain that an earlier process paused. See DriverType::resume_orphan().
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection/connections.h"
#include "drivers/libvirt/domain/resume_ticket.h"

namespace vmemfs::libvirt {

/// Resumes the domain if it is still the same run and is paused by a command. No error if there is nothing to
/// do. busy: libvirt cannot be asked at the moment.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket, Connections& connections);

} // namespace vmemfs::libvirt
