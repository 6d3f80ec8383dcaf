// SPDX-License-Identifier: MIT
// Protocol between the daemon and the mounter: messages on a SOCK_SEQPACKET socket.
#pragma once

#include "core/error.h"

#include <string_view>

namespace vmemfs {

/// The mounter's process name (comm).
inline constexpr std::string_view kMounterProcessName = "vmemfs-mount";

/// From the daemon: mount. The daemon requests unmounting by closing its end, or by ending.
inline constexpr char kMounterRequest = 'm';

/// To the daemon: this with the device if mounting succeeded; otherwise the ErrorKind as one character,
/// followed by the error text. After unmounting the process ends.
inline constexpr char kMounterDone = '\x7f';

/// To the daemon, after kMounterDone: the standby exists, so that a mounter that is killed is replaced.
inline constexpr char kMounterGuarded = 'g';

/// Parses the answer to the daemon: no error if mounting succeeded, otherwise the mounter's. source_failed:
/// the message is empty or has an unknown kind. Pure function, thread-safe.
[[nodiscard]] Result<void> parse_mounter_answer(std::string_view text);

} // namespace vmemfs
