// SPDX-License-Identifier: MIT
// Ticket to resume a QEMU after the process that paused it has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::pmemaccess {

struct ResumeTicket {
  pid_t pid = 0;                ///< of the process that listens on the monitor; 0: unknown
  std::uint64_t start_time = 0; ///< of that process, as in Process; 0: unknown
  std::chrono::milliseconds timeout{0};
  std::string monitor; ///< its address (qmp_address.h); a path is absolute
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

/// Resumes the VM if the same process listens on the monitor and the VM is in the state in which `stop`
/// leaves it. No error if there is nothing to do: it has ended, runs, or is paused for another reason. busy:
/// another client uses the monitor.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::pmemaccess
