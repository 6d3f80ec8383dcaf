// SPDX-License-Identifier: MIT
// Protocol between the daemon and the mounter: messages on a SOCK_SEQPACKET socket.
#pragma once

#include <string_view>

namespace vmemfs {

/// The mounter's process name (comm).
inline constexpr std::string_view kMounterProcessName = "vmemfs-mount";

/// From the daemon: mount. The daemon requests unmounting by closing its end, or by ending.
inline constexpr char kMounterRequest = 'm';

/// To the daemon: this with the device if mounting succeeded; otherwise the ErrorKind as one character,
/// followed by the error text. After unmounting the process ends.
inline constexpr char kMounterDone = '\x7f';

} // namespace vmemfs
