// SPDX-License-Identifier: MIT
// What the daemon and the process that mounts for it say to each other: messages on a SOCK_SEQPACKET socket.
#pragma once

#include <string_view>

namespace vmemfs {

/// What the process calls itself (comm).
inline constexpr std::string_view kMounterProcessName = "vmemfs-mount";

/// From the daemon: to mount. To unmount it closes its end, or has ended.
inline constexpr char kMounterRequest = 'm';

/// To the daemon: this, with the device where it was mounted; or else the ErrorKind as one character and then
/// the text of the error. When all is done the process ends.
inline constexpr char kMounterDone = '\x7f';

} // namespace vmemfs
