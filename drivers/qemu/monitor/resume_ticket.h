// SPDX-License-Identifier: MIT
// Ticket to resume a QEMU after the process that paused it has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::qemu {

struct ResumeTicket {
  pid_t pid = 0;
  std::uint64_t start_time = 0; ///< of the process, as in Process
  std::chrono::milliseconds timeout{0};
  std::string monitor; ///< its address (qmp_address.h); a path is absolute
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

/// Resumes the VM if it is still the same process and in the state in which `stop` leaves it. No error if
/// there is nothing to do: the VM has ended, runs, or is paused for another reason. busy: the state is
/// unknown or cannot be changed at the moment (another client uses the monitor). permission: the
/// monitor now belongs to another process. not_found: it does not exist any more.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::qemu
