// What the daemon and the process that mounts for it say to each other: messages on a SOCK_SEQPACKET socket.
#pragma once

#include <string_view>

namespace vmemfs {

/// What the process calls itself (comm).
inline constexpr std::string_view kMounterProcessName = "vmemfs-mount";

/// From the daemon, one character each. An end without any of the last two counts as kUnmount.
enum class MounterRequest : char { mount = 'm', unmount = 'u', forget = 'f' };

/// To the daemon: this, with the device where it was mounted; or else the ErrorKind as one character and then
/// the text of the error.
inline constexpr char kMounterDone = '\x7f';

} // namespace vmemfs
