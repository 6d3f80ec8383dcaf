// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"

#include <array>
#include <fmt/format.h>
#include <limits>

namespace vmemfs::libvirt {
std::string to_text(const ResumeTicket& ticket) {
  return ticket_text(std::array{TicketField{"uuid", ticket.run.uuid},
                                TicketField{"id", fmt::to_string(ticket.run.id)},
                                TicketField{"uri", ticket.uri}}); // last: it may contain line ends
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::array<std::string_view, 3> kKeys{"uuid", "id", "uri"};
  const auto values = parse_ticket(text, kKeys, kOrigin);
  if (!values) {
    return tl::unexpected{values.error()};
  }
  const std::string_view uuid = (*values)[0];
  const auto id = parse_u64((*values)[1]);
  if (uuid.empty() || !id || *id > std::numeric_limits<int>::max()) {
    return not_a_ticket(text, kOrigin);
  }
  return ResumeTicket{std::string{(*values)[2]}, {std::string{uuid}, "", static_cast<int>(*id)}};
}

} // namespace vmemfs::libvirt
