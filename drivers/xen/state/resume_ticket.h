// SPDX-License-Identifier: MIT
// The ticket to resume a domain after the process that paused it has died. See RunControl::resume_ticket().
#pragma once

#include "core/error.h"
#include "drivers/xen/state/domain_info.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace vmemfs::xen {

struct ResumeTicket {
  std::uint32_t domain = 0;
  std::string uuid;
};

[[nodiscard]] std::string to_text(const ResumeTicket& ticket);
[[nodiscard]] Result<ResumeTicket> parse_resume_ticket(std::string_view text);

/// Releases the one pause of the process that died, if it is still the same domain and is paused. No error if
/// there is nothing to do. Pauses of others stay.
[[nodiscard]] Result<void> resume_orphan(const ResumeTicket& ticket);

} // namespace vmemfs::xen
