// SPDX-License-Identifier: MIT
#include "drivers/xen/state/resume_ticket.h"

#include "core/text.h"
#include "util/log.h"

#include <cerrno>
#include <fmt/format.h>
#include <limits>

namespace vmemfs::xen {
namespace {

constexpr std::string_view kDomain = "domain=";
constexpr std::string_view kUuid = "uuid=";

} // namespace

std::string to_text(const ResumeTicket& ticket) {
  return fmt::format("{}{}\n{}{}", kDomain, ticket.domain, kUuid, ticket.uuid);
}

Result<ResumeTicket> parse_resume_ticket(std::string_view text) {
  const auto lines = split(text, '\n');
  if (lines.size() == 2 && lines[0].starts_with(kDomain) && lines[1].starts_with(kUuid) &&
      lines[1].size() > kUuid.size()) {
    const auto domain = parse_u64(lines[0].substr(kDomain.size()));
    if (domain && *domain > 0 && *domain <= std::numeric_limits<std::uint16_t>::max()) {
      return ResumeTicket{static_cast<std::uint32_t>(*domain), std::string{lines[1].substr(kUuid.size())}};
    }
  }
  return fail(ErrorKind::invalid, kOrigin,
              fmt::format("'{}' is not a ticket of this driver", printable(text, 200)));
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
