// SPDX-License-Identifier: MIT
// End of a pause whose daemon has died.
#pragma once

#include "core/error.h"
#include "drivers/gdbstub/session/resume_ticket.h"

namespace vmemfs::gdbstub {

/// Connects, which stops a target that runs, and detaches, which resumes it. No error if nobody listens any
/// more.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::gdbstub
