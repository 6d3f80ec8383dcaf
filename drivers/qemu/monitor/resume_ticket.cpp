// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/resume_ticket.h"

#include "core/text.h"
#include "drivers/qemu/discovery/command_line.h"
#include "drivers/qemu/monitor/monitor.h"
#include "host/process.h"
#include "util/log.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <optional>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "qemu";

/// States that QEMU soon leaves on its own, possibly for "paused".
constexpr std::array<std::string_view, 3> kPassing{"save-vm", "restore-vm", "finish-migrate"};

/// Parses the number after "KEY=" at the start of `text` and removes that line from `text`.
std::optional<std::uint64_t> take_number(std::string_view& text, std::string_view key) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(key)) {
    return std::nullopt;
  }
  const auto number = parse_u64(text.substr(key.size(), end - key.size()));
  text.remove_prefix(end + 1);
  return number;
}

/// A socket that a manager opened for QEMU may have the manager's pid. The pid of another QEMU is an error.
bool is_of_another_qemu(pid_t peer, pid_t pid) {
  if (peer == 0 || peer == pid) {
    return false;
  }
  const auto name = comm(peer);
  const auto exe = exe_path(peer);
  return (name && is_qemu(*name)) || (exe && is_qemu(*exe));
}

Result<void> resume_over(MonitorSession& session, pid_t pid) {
  const auto status = session.run_status();
  if (!status) {
    return tl::unexpected{status.error()};
  }
  if (std::ranges::find(kPassing, status->detail) != kPassing.end()) {
    return fail(ErrorKind::busy, kOrigin, fmt::format("QEMU (pid {}) is in state {}", pid, status->detail));
  }
  if (status->running || !status->by_command) {
    log::info("qemu {}: nothing to resume, it is in state '{}'", pid, printable(status->detail));
    return {};
  }
  auto resumed = session.cont();
  if (resumed) {
    log::info("qemu {}: runs again", pid);
  }
  return resumed;
}

} // namespace

std::string to_text(const ResumeTicket& ticket) {
  return fmt::format("pid={}\nstarted={}\ntimeout={}\nmonitor={}", ticket.pid, ticket.start_time,
                     ticket.timeout.count(), ticket.monitor);
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::string_view kMonitor = "monitor=";
  std::string_view rest = text;
  const auto pid = take_number(rest, "pid=");
  const auto started = take_number(rest, "started=");
  const auto timeout = take_number(rest, "timeout=");
  // The monitor comes last and takes the rest of the text: a path may contain a line end.
  if (!pid || !started || !timeout || *pid == 0 || *pid > std::numeric_limits<pid_t>::max() ||
      *timeout > std::numeric_limits<std::int32_t>::max() || !rest.starts_with(kMonitor) ||
      rest.size() == kMonitor.size()) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("not a ticket of the qemu driver: '{}'", printable(text, 200)));
  }
  return ResumeTicket{static_cast<pid_t>(*pid), *started,
                      std::chrono::milliseconds{static_cast<std::int64_t>(*timeout)},
                      std::string{rest.substr(kMonitor.size())}};
}

Result<void> resume_orphan(const ResumeTicket& ticket) {
  const auto process = Process::open(ticket.pid);
  if (!process && process.error().kind != ErrorKind::not_found &&
      process.error().kind != ErrorKind::vm_gone) {
    return tl::unexpected{process.error()};
  }
  if (!process || process->start_time() != ticket.start_time) {
    log::info("qemu {}: it has ended", ticket.pid);
    return {};
  }
  Monitor monitor{ticket.monitor, ticket.timeout, false};
  auto session = monitor.session();
  if (session && is_of_another_qemu(session->peer_pid(), ticket.pid)) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("the monitor {} now belongs to process {}, not to {}", ticket.monitor,
                            session->peer_pid(), ticket.pid));
  }
  auto resumed = session.and_then([&](MonitorSession& open) { return resume_over(open, ticket.pid); });
  if (!resumed && !process->alive()) {
    log::info("qemu {}: it has ended", ticket.pid);
    return {};
  }
  return resumed;
}

} // namespace vmemfs::qemu
