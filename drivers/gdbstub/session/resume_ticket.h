// SPDX-License-Identifier: MIT
// Ticket for resuming a target whose daemon has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"

#include <chrono>
#include <string>
#include <string_view>

namespace vmemfs::gdbstub {

struct ResumeTicket {
  std::string address;
  std::chrono::milliseconds timeout;
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

} // namespace vmemfs::gdbstub
