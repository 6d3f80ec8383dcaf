// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/monitor/resume_ticket.h"

#include "core/text.h"
#include "drivers/pmemaccess/monitor/qemu_monitor.h"
#include "host/process.h"
#include "util/log.h"

#include <utility>

namespace vmemfs::pmemaccess {
namespace {

constexpr std::string_view kOrigin = "pmemaccess";

/// False if another process has taken its place.
bool is_same(const MonitorTicket& ticket, pid_t listener) {
  if (ticket.pid == 0) {
    return true;
  }
  const auto process = Process::open(listener);
  return listener == ticket.pid && process && process->start_time() == ticket.start_time;
}

} // namespace

Result<MonitorTicket> parse_resume_ticket(std::string_view text) {
  return parse_monitor_ticket(text, kOrigin);
}

Result<void> resume_orphan(const MonitorTicket& ticket) {
  QemuMonitor monitor{ticket.monitor, ticket.timeout, false, {}};
  auto session = monitor.session();
  if (!session && session.error().kind == ErrorKind::not_found) {
    log::info("pmemaccess: nothing to resume, {} has ended", ticket.monitor);
    return {};
  }
  if (!session) {
    return tl::unexpected{std::move(session.error())};
  }
  if (!is_same(ticket, session->peer().pid)) {
    log::info("pmemaccess: nothing to resume, another process has the monitor {}", ticket.monitor);
    return {};
  }
  const auto status = session->run_status();
  if (!status) {
    return tl::unexpected{status.error()};
  }
  if (status->running || !status->by_command) {
    log::info("pmemaccess: nothing to resume, it is in state '{}'", printable(status->detail));
    return {};
  }
  return session->cont().map([](const RunStatus&) {});
}

} // namespace vmemfs::pmemaccess
