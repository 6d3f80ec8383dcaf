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
  const auto session = GdbSession::open({*address, ticket.timeout, Leave::running});
  if (!session && session.error().kind != ErrorKind::not_found &&
      session.error().kind != ErrorKind::vm_gone) {
    return tl::unexpected{session.error()};
  }
  return {}; // the session's end resumes it
}

} // namespace vmemfs::gdbstub
