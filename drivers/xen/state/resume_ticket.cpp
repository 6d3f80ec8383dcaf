// SPDX-License-Identifier: MIT
#include "drivers/xen/state/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"
#include "util/log.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <limits>

namespace vmemfs::xen {

std::string to_text(const ResumeTicket& ticket) {
  return ticket_text(
      std::array{TicketField{"domain", fmt::to_string(ticket.domain)}, TicketField{"uuid", ticket.uuid}});
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::array<std::string_view, 2> kKeys{"domain", "uuid"};
  const auto values = parse_ticket(text, kKeys, kOrigin);
  if (!values) {
    return tl::unexpected{values.error()};
  }
  const auto domain = parse_u64((*values)[0]);
  const std::string_view uuid = (*values)[1];
  if (!domain || *domain == 0 || *domain > std::numeric_limits<std::uint16_t>::max() || uuid.empty() ||
      uuid.find('\n') != std::string_view::npos) {
    return not_a_ticket(text, kOrigin);
  }
  return ResumeTicket{static_cast<std::uint32_t>(*domain), std::string{uuid}};
}

Result<void> resume_orphan(const ResumeTicket& ticket) {
  const auto control = open_control();
  if (!control) {
    return tl::unexpected{control.error()};
  }
  const auto info = domain_info(control->get(), ticket.domain);
  if (!info && info.error().kind != ErrorKind::not_found) {
    return tl::unexpected{info.error()};
  }
  if (!info || info->uuid != ticket.uuid || info->dying) {
    log::info("xen domain {}: it has ended", ticket.domain);
    return {};
  }
  if (!info->paused) {
    log::info("xen domain {}: nothing to resume", ticket.domain);
    return {};
  }
  if (xc_domain_unpause(control->get(), ticket.domain) != 0 && errno != EINVAL && errno != ESRCH) {
    return fail_errno(errno, kOrigin, fmt::format("cannot unpause domain {}", ticket.domain));
  }
  log::info("xen domain {}: pause released", ticket.domain);
  return {};
}

} // namespace vmemfs::xen
