// SPDX-License-Identifier: MIT
#include "drivers/vbox/guest/resume_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"
#include "drivers/vbox/link/fdp_link.h"
#include "util/log.h"

#include <array>
#include <cstdint>
#include <fmt/format.h>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";
constexpr std::uint64_t kMaxTimeoutMs = 3'600'000;

bool has_gone(const Error& error) {
  return error.kind == ErrorKind::not_found || error.kind == ErrorKind::vm_gone;
}

} // namespace

std::string to_text(const ResumeTicket& ticket) {
  return ticket_text(std::array{TicketField{"device", fmt::to_string(ticket.object.device)},
                                TicketField{"inode", fmt::to_string(ticket.object.inode)},
                                TicketField{"timeout", fmt::to_string(ticket.timeout.count())},
                                TicketField{"name", ticket.name}}); // last: a name may contain line ends
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::array<std::string_view, 4> kKeys{"device", "inode", "timeout", "name"};
  const auto values = parse_ticket(text, kKeys, kOrigin);
  if (!values) {
    return tl::unexpected{values.error()};
  }
  const auto device = parse_u64((*values)[0]);
  const auto inode = parse_u64((*values)[1]);
  const auto timeout = parse_u64((*values)[2]);
  const std::string_view name = (*values)[3];
  if (!device || !inode || !timeout || *timeout == 0 || *timeout > kMaxTimeoutMs || name.empty()) {
    return not_a_ticket(text, kOrigin);
  }
  return ResumeTicket{std::string{name},
                      {static_cast<dev_t>(*device), static_cast<ino_t>(*inode)},
                      std::chrono::milliseconds{static_cast<std::int64_t>(*timeout)}};
}

Result<void> resume_orphan(const ResumeTicket& ticket) {
  const auto link = FdpLink::open(ticket.name, ticket.timeout);
  if (!link && !has_gone(link.error())) {
    return tl::unexpected{link.error()};
  }
  if (!link || (*link)->object().id() != ticket.object) {
    log::info("vbox: nothing to resume, the VM '{}' has ended", printable(ticket.name));
    return {};
  }
  const auto deadline = FdpLink::Clock::now() + 2 * ticket.timeout;
  const auto facts = (*link)->greet(deadline);
  if (!facts) {
    return tl::unexpected{facts.error()};
  }
  if (!facts->state.paused) {
    log::info("vbox: nothing to resume, the VM '{}' runs", printable(ticket.name));
    return {};
  }
  return (*link)->command(simple_request(Opcode::resume, 1), "resume the guest", deadline);
}

} // namespace vmemfs::vbox
