// SPDX-License-Identifier: MIT
// What it takes to let a QEMU run again after the process that paused it has died. See
// RunControl::resume_ticket().
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
  std::uint64_t start_time = 0; ///< of the process, as Process has it
  std::chrono::milliseconds timeout{0};
  std::string monitor; ///< absolute path
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

/// Lets the VM run if it is still the same process and stands as `stop` leaves it. No error where there is
/// nothing to do: it has ended, it runs, or it stands for a reason that is not ours to end. busy: it can't be
/// told or done just now (somebody else has the monitor). not_found: the monitor is that of another QEMU by
/// now, or there is none any more.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::qemu
