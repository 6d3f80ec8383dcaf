// SPDX-License-Identifier: MIT
// What it takes to let a domain run again after the process that paused it has died. See
// RunControl::resume_ticket().
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection.h"

#include <string>
#include <string_view>

namespace vmemfs::libvirt {

struct ResumeTicket {
  std::string uri; ///< as Connection::to() takes it
  DomainRun run;   ///< without the name
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

/// Lets the domain run if it is still the same run of it and stands by command. No error where there is
/// nothing to do. busy: libvirt can't be asked just now.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::libvirt
