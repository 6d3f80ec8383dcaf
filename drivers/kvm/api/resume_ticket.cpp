// SPDX-License-Identifier: MIT
#include "drivers/kvm/api/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"
#include "drivers/kvm/api/vmm_api.h"
#include "host/process.h"

#include <array>
#include <fmt/format.h>
#include <limits>

namespace vmemfs::kvm {
namespace {

constexpr std::string_view kOrigin = "kvm";

} // namespace

std::string to_text(const ResumeTicket& ticket) {
  return ticket_text(std::array{TicketField{"pid", fmt::to_string(ticket.pid)},
                                TicketField{"started", fmt::to_string(ticket.start_time)},
                                TicketField{"socket", ticket.socket}});
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::array<std::string_view, 3> kKeys{"pid", "started", "socket"};
  const auto values = parse_ticket(text, kKeys, kOrigin);
  if (!values) {
    return tl::unexpected{values.error()};
  }
  const auto pid = parse_u64((*values)[0]);
  const auto started = parse_u64((*values)[1]);
  if (!pid || !started || *pid == 0 || *pid > std::numeric_limits<pid_t>::max() || (*values)[2].empty()) {
    return not_a_ticket(text, kOrigin);
  }
  return ResumeTicket{static_cast<pid_t>(*pid), *started, std::string{(*values)[2]}};
}

Result<void> resume_orphan(const ResumeTicket& ticket) {
  const auto process = Process::open(ticket.pid);
  if (!process || process->start_time() != ticket.start_time) {
    return {};
  }
  auto resumed =
      VmmApi::open(ticket.socket, ticket.pid).and_then([](const VmmApi& api) { return api.resume(); });
  return process->alive() ? resumed : Result<void>{};
}

} // namespace vmemfs::kvm
