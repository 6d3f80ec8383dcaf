// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/session/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"
#include "drivers/gdbstub/link/server_address.h"

#include <array>
#include <cstdint>
#include <fmt/format.h>

namespace vmemfs::gdbstub {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::uint64_t kMaxTimeoutMs = 3'600'000;

} // namespace

std::string to_text(const ResumeTicket& ticket) {
  return ticket_text(std::array{TicketField{"timeout", fmt::to_string(ticket.timeout.count())},
                                TicketField{"address", ticket.address}});
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::array<std::string_view, 2> kKeys{"timeout", "address"};
  const auto values = parse_ticket(text, kKeys, kOrigin);
  if (!values) {
    return tl::unexpected{values.error()};
  }
  const auto timeout = parse_u64((*values)[0]);
  if (!timeout || *timeout == 0 || *timeout > kMaxTimeoutMs || !parse_address((*values)[1])) {
    return not_a_ticket(text, kOrigin);
  }
  return ResumeTicket{std::string{(*values)[1]}, std::chrono::milliseconds{*timeout}};
}

} // namespace vmemfs::gdbstub
