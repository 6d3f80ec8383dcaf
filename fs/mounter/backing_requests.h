// SPDX-License-Identifier: MIT
// Mounter's side of backing ids: the daemon asks for them, because the kernel demands CAP_SYS_ADMIN for them.
#pragma once

namespace vmemfs {

/// Carries out the next request on the socket. False if the daemon has ended, or sends something else.
///
/// By passthrough the kernel opens the file again, for whatever the opener in the mount asked for, without
/// checking rights. So only regular files are accepted that the daemon has open for reading and writing:
/// with them, nobody gets what the daemon could not do itself. Descriptors are closed at once.
[[nodiscard]] bool carry_out_backing_request(int socket);

} // namespace vmemfs
