// SPDX-License-Identifier: MIT
// Resuming a QEMU by a ticket, after the process that paused it has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"
#include "driver/kit/monitor_ticket.h"

#include <string_view>

namespace vmemfs::pmemaccess {

[[nodiscard]] Result<MonitorTicket> parse_resume_ticket(std::string_view text);

/// Resumes the VM if the same process listens on the monitor and the VM is in the state in which `stop`
/// leaves it. No error if there is nothing to do: it has ended, runs, or is paused for another reason. busy:
/// another client uses the monitor.
[[nodiscard]] Result<void> resume_orphan(const MonitorTicket& ticket);

} // namespace vmemfs::pmemaccess
