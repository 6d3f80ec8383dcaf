// SPDX-License-Identifier: MIT
// Ticket to resume a VM by its program's API after the process that paused it has died. See
// RunControl::resume_ticket().
#pragma once

#include "core/error.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::kvm {

struct ResumeTicket {
  pid_t pid;
  std::uint64_t start_time; ///< see Process::start_time()
  std::string socket;       ///< of the API
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

/// Resumes the VM if it is the same one, and paused. No error if it has ended.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::kvm
