// SPDX-License-Identifier: MIT
// Ticket for resuming a VM whose daemon has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"
#include "drivers/vbox/shared/shared_object.h"

#include <chrono>
#include <string>
#include <string_view>

namespace vmemfs::vbox {

struct ResumeTicket {
  std::string name;        ///< of the shared memory
  SharedObject::Id object; ///< a later one of that name is another VM
  std::chrono::milliseconds timeout;
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

/// Resumes the VM if it is the same one and paused. No error if there is nothing to do.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::vbox
