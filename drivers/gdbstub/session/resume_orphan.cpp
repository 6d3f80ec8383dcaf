// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/session/resume_orphan.h"

#include "drivers/gdbstub/link/server_address.h"
#include "drivers/gdbstub/session/gdb_session.h"

namespace vmemfs::gdbstub {

Result<void> resume_orphan(const ResumeTicket& ticket) {
  const auto address = parse_address(ticket.address);
  if (!address) {
    return tl::unexpected{address.error()};
  }
  return GdbSession::resume_target(*address, ticket.timeout);
}

} // namespace vmemfs::gdbstub
