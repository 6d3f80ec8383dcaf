// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/monitor/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"
#include "drivers/pmemaccess/monitor/qemu_monitor.h"
#include "host/process.h"
#include "util/log.h"

#include <array>
#include <fmt/format.h>
#include <limits>
#include <utility>

namespace vmemfs::pmemaccess {
namespace {

constexpr std::string_view kOrigin = "pmemaccess";

/// False if another process has taken its place.
bool is_same(const ResumeTicket& ticket, pid_t listener) {
  if (ticket.pid == 0) {
    return true;
  }
  const auto process = Process::open(listener);
  return listener == ticket.pid && process && process->start_time() == ticket.start_time;
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
  if (!pid || !started || !timeout || *pid > std::numeric_limits<pid_t>::max() ||
      *timeout > std::numeric_limits<std::int32_t>::max() || monitor.empty()) {
    return not_a_ticket(text, kOrigin);
  }
  return ResumeTicket{static_cast<pid_t>(*pid), *started,
                      std::chrono::milliseconds{static_cast<std::int64_t>(*timeout)}, std::string{monitor}};
}

Result<void> resume_orphan(const ResumeTicket& ticket) {
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
