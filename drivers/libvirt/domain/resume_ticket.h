// SPDX-License-Identifier: MIT
// The ticket to resume a domain after the process that paused it has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"
#include "drivers/libvirt/connection/connections.h"

#include <string>
#include <string_view>

namespace vmemfs::libvirt {

struct ResumeTicket {
  std::string uri; ///< as Connections::to() takes it
  DomainRun run;   ///< without the name
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

} // namespace vmemfs::libvirt
