// SPDX-License-Identifier: MIT
// Messages from the daemon to its guardian: one per VM that is armed or disarmed.
//
// Text: "arm NUMBER DRIVER\nTICKET" or "disarm NUMBER". Pure functions, thread-safe.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs {

/// The data needed to resume one VM; see RunControl::resume_ticket().
struct GuardTicket {
  std::string driver;
  std::string ticket;
};

struct GuardianMessage {
  std::uint32_t vm = 0;
  std::optional<GuardTicket> armed; ///< none: disarmed
};

/// Longer messages are not sent. Far below the size that a socket accepts in one piece.
inline constexpr std::size_t kMaxGuardianMessage = std::size_t{32} << 10;

/// Sent by the guardian once, when it ignores the usual termination signals.
inline constexpr std::string_view kGuardianReady = "ready";

[[nodiscard]] std::string to_text(const GuardianMessage& message);
[[nodiscard]] Result<GuardianMessage> parse_guardian_message(std::string_view text);

} // namespace vmemfs
