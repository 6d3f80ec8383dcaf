// SPDX-License-Identifier: MIT
// Resuming a QEMU by a ticket, after the process that paused it has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"
#include "driver/kit/monitor_ticket.h"

#include <string_view>

namespace vmemfs::qemu {

/// Its pid is known.
[[nodiscard]] Result<MonitorTicket> parse_resume_ticket(std::string_view text);

/// Resumes the VM if it is still the same process and in the state in which `stop` leaves it. No error if
/// there is nothing to do: the VM has ended, runs, or is paused for another reason. busy: the state is
/// unknown or cannot be changed at the moment (another client uses the monitor). permission: the
/// monitor now belongs to another process. not_found: it does not exist any more.
[[nodiscard]] Result<void> resume_orphan(const MonitorTicket& ticket);

} // namespace vmemfs::qemu
