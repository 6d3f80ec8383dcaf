// SPDX-License-Identifier: MIT
// What the daemon tells its guardian: one message of the socket for each VM that it arms or disarms.
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

/// What is needed to let one VM run again; see RunControl::resume_ticket().
struct GuardTicket {
  std::string driver;
  std::string ticket;
};

struct GuardianMessage {
  std::uint32_t vm = 0;
  std::optional<GuardTicket> armed; ///< none: disarmed
};

/// Longer ones are not sent. Far below what a socket takes in one piece.
inline constexpr std::size_t kMaxGuardianMessage = std::size_t{32} << 10;

/// What the guardian sends once, when no signal of the usual ones can end it any more.
inline constexpr std::string_view kGuardianReady = "ready";

[[nodiscard]] std::string to_text(const GuardianMessage& message);
[[nodiscard]] Result<GuardianMessage> parse_guardian_message(std::string_view text);

} // namespace vmemfs
