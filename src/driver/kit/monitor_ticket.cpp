// SPDX-License-Identifier: MIT
#include "driver/kit/monitor_ticket.h"

#include "core/text.h"
#include "driver/kit/ticket_text.h"

#include <array>
#include <fmt/format.h>
#include <limits>

namespace vmemfs {

std::string to_text(const MonitorTicket& ticket) {
  return ticket_text(
      std::array{TicketField{"pid", fmt::to_string(ticket.pid)},
                 TicketField{"started", fmt::to_string(ticket.start_time)},
                 TicketField{"timeout", fmt::to_string(ticket.timeout.count())},
                 TicketField{"monitor", ticket.monitor}}); // last: a path may contain line ends
}

Result<MonitorTicket> parse_monitor_ticket(std::string_view text, std::string_view driver) {
  constexpr std::array<std::string_view, 4> kKeys{"pid", "started", "timeout", "monitor"};
  const auto values = parse_ticket(text, kKeys, driver);
  if (!values) {
    return tl::unexpected{values.error()};
  }
  const auto pid = parse_u64((*values)[0]);
  const auto started = parse_u64((*values)[1]);
  const auto timeout = parse_u64((*values)[2]);
  const std::string_view monitor = (*values)[3];
  if (!pid || !started || !timeout || *pid > std::numeric_limits<pid_t>::max() ||
      *timeout > std::numeric_limits<std::int32_t>::max() || monitor.empty()) {
    return not_a_ticket(text, driver);
  }
  return MonitorTicket{static_cast<pid_t>(*pid), *started,
                       std::chrono::milliseconds{static_cast<std::int64_t>(*timeout)}, std::string{monitor}};
}

} // namespace vmemfs
