// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"
#include "drivers/qemu/monitor/monitor.h"
#include "drivers/qemu/monitor/monitor_answers.h"
#include "host/process.h"
#include "util/log.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
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

std::string to_text(const ResumeTicket& ticket) {
  return ticket_text(
      std::array{TicketField{"pid", fmt::to_string(ticket.pid)},
                 TicketField{"started", fmt::to_string(ticket.start_time)},
                 TicketField{"timeout", fmt::to_string(ticket.timeout.count())},
                 TicketField{"monitor", ticket.monitor}}); // last: a path may contain line ends
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::array<std::string_view, 4> kKeys{"pid", "started", "timeout", "monitor"};
  const auto values = parse_ticket(text, kKeys, kOrigin);
  if (!values) {
    return tl::unexpected{values.error()};
  }
  const auto pid = parse_u64((*values)[0]);
  const auto started = parse_u64((*values)[1]);
  const auto timeout = parse_u64((*values)[2]);
  const std::string_view monitor = (*values)[3];
  if (!pid || !started || !timeout || *pid == 0 || *pid > std::numeric_limits<pid_t>::max() ||
      *timeout > std::numeric_limits<std::int32_t>::max() || monitor.empty()) {
    return not_a_ticket(text, kOrigin);
  }
  return ResumeTicket{static_cast<pid_t>(*pid), *started,
                      std::chrono::milliseconds{static_cast<std::int64_t>(*timeout)}, std::string{monitor}};
}

Result<void> resume_orphan(const ResumeTicket& ticket) {
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
