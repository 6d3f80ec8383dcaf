// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/resume_ticket.h"

#include "core/text.h"
#include "drivers/libvirt/domain/domain.h"
#include "util/log.h"

#include <fmt/format.h>
#include <limits>

namespace vmemfs::libvirt {
namespace {

constexpr std::chrono::seconds kForConnection{10};

/// The text after `key` up to the end of the line; `text` then starts after that line.
std::string_view take_line(std::string_view& text, std::string_view key) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(key)) {
    return {};
  }
  const std::string_view value = text.substr(key.size(), end - key.size());
  text.remove_prefix(end + 1);
  return value;
}

Result<void> resume(Domain& domain) {
  const auto status = domain.run_status();
  if (!status) {
    return tl::unexpected{status.error()};
  }
  if (status->running || !status->by_command) {
    log::info("libvirt {}: nothing to resume, it is {}", domain.run().uuid, status->detail);
    return {};
  }
  auto resumed = domain.resume();
  if (resumed) {
    log::info("libvirt {}: resumed", domain.run().uuid);
  }
  return resumed;
}

} // namespace

std::string to_text(const ResumeTicket& ticket) {
  return fmt::format("uuid={}\nid={}\nuri={}", ticket.run.uuid, ticket.run.id, ticket.uri);
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  constexpr std::string_view kUri = "uri=";
  std::string_view rest = text;
  const std::string_view uuid = take_line(rest, "uuid=");
  const auto id = parse_u64(take_line(rest, "id="));
  if (uuid.empty() || !id || *id > std::numeric_limits<int>::max() || !rest.starts_with(kUri)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not a ticket of this driver", printable(text, 200)));
  }
  return ResumeTicket{std::string{rest.substr(kUri.size())}, {std::string{uuid}, "", static_cast<int>(*id)}};
}

Result<void> resume_orphan(const ResumeTicket& ticket, Connections& connections) {
  const auto connection = connections.to(ticket.uri);
  const auto link = connection.and_then([](const auto& made) { return made->wait_for_link(kForConnection); });
  if (!link) {
    return fail(ErrorKind::busy, kOrigin, link.error().text);
  }
  const auto domain = std::make_shared<Domain>(*connection, ticket.run);
  auto resumed = resume(*domain);
  if (!resumed && resumed.error().kind == ErrorKind::vm_gone) {
    log::info("libvirt {}: it has ended", ticket.run.uuid);
    return {};
  }
  return resumed ? resumed : fail(ErrorKind::busy, kOrigin, resumed.error().text);
}

} // namespace vmemfs::libvirt
