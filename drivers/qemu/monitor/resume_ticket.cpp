// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"
#include "drivers/qemu/monitor/monitor.h"
#include "drivers/qemu/monitor/monitor_answers.h"
#include "host/process.h"
#include "util/log.h"

#include <fmt/format.h>
#include <memory>
#include <utility>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "qemu";

Result<void> resume_over(MonitorSession& session, pid_t pid) {
  const auto status = session.run_status();
  if (!status) {
    return tl::unexpected{status.error()};
  }
  if (passes_soon(*status)) { // possibly to "paused"
    return fail(ErrorKind::busy, kOrigin, fmt::format("QEMU (pid {}) is in state {}", pid, status->detail));
  }
  if (status->running || !status->by_command) {
    log::info("qemu {}: nothing to resume, it is in state '{}'", pid, printable(status->detail));
    return {};
  }
  return session.cont().map([pid](const RunStatus&) { log::info("qemu {}: runs again", pid); });
}

} // namespace

Result<MonitorTicket> parse_resume_ticket(std::string_view text) {
  return parse_monitor_ticket(text, kOrigin).and_then([text](MonitorTicket ticket) -> Result<MonitorTicket> {
    return ticket.pid > 0 ? Result<MonitorTicket>{std::move(ticket)} : not_a_ticket(text, kOrigin);
  });
}

Result<void> resume_orphan(const MonitorTicket& ticket) {
  auto process = Process::open(ticket.pid);
  if (!process && process.error().kind != ErrorKind::not_found &&
      process.error().kind != ErrorKind::vm_gone) {
    return tl::unexpected{process.error()};
  }
  if (!process || process->start_time() != ticket.start_time) {
    log::info("qemu {}: it has ended", ticket.pid);
    return {};
  }
  const auto owner = std::make_shared<const Process>(std::move(*process));
  Monitor monitor{ticket.monitor, owner, ticket.timeout, false};
  auto session = monitor.session();
  auto resumed = session.and_then([&](MonitorSession& open) { return resume_over(open, ticket.pid); });
  if (!resumed && !owner->alive()) {
    log::info("qemu {}: it has ended", ticket.pid);
    return {};
  }
  return resumed;
}

} // namespace vmemfs::qemu
