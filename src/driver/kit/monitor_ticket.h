// SPDX-License-Identifier: MIT
// Ticket to resume a QEMU over a monitor after the process that paused it has died, of all drivers that pause
// QEMUs so. See RunControl::resume_ticket().
//
// Format: ticket_text.h with the keys pid, started, timeout (in milliseconds) and monitor.
#pragma once

#include "core/error.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs {

struct MonitorTicket {
  pid_t pid = 0;                ///< of the process that listens on the monitor; 0: unknown
  std::uint64_t start_time = 0; ///< of that process, as in Process; 0: unknown
  std::chrono::milliseconds timeout{0};
  std::string monitor; ///< its address (drivers/qemu_protocol/qmp_address.h); a path is absolute
};

[[nodiscard]] std::string to_text(const MonitorTicket& ticket);
/// invalid, from `driver`: it is not of this form.
[[nodiscard]] Result<MonitorTicket> parse_monitor_ticket(std::string_view text, std::string_view driver);

} // namespace vmemfs
