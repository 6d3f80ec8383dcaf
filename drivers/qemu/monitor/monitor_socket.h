// SPDX-License-Identifier: MIT
// A monitor socket as given on QEMU's command line, and the lookup of a path through which this process can
// reach it.
//
// Sources of the formats: proc(5) for /proc/PID/fd, root and cwd; /proc/PID/net/unix as in the kernel's
// net/unix/af_unix.c. Nothing here connects to anything. Thread-safe.
#pragma once

#include "core/error.h"

#include <optional>
#include <string>
#include <sys/types.h>

namespace vmemfs::qemu {

/// A QMP monitor on a listening UNIX socket. Exactly one of path and fd is given.
struct MonitorSocket {
  std::string path;      ///< as on the command line: may be relative to QEMU's working directory
  std::optional<int> fd; ///< descriptor in QEMU of a socket that its parent (libvirt) opened
  /// True for libvirt's own monitor, recognised by its name "charmonitor". It is not used even while it is
  /// free: a libvirt daemon that starts takes it and keeps it, and then a VM that was paused through it could
  /// not be resumed.
  bool libvirts = false;
};

/// An absolute path to the socket, valid in this process; it goes through /proc/PID if QEMU is in another
/// mount namespace. `proc` is the mountpoint of procfs. not_found: the socket has no path, or does not exist
/// (any more). permission: the lookup was denied.
[[nodiscard]] Result<std::string> find_monitor_path(const MonitorSocket& socket, pid_t qemu,
                                                    const std::string& proc = "/proc");

/// True if a client is connected to the listening socket at `path` in the network namespace of `qemu`; false
/// also if that is unknown. A monitor of QEMU serves one client at a time.
[[nodiscard]] bool has_client(const std::string& path, pid_t qemu, const std::string& proc = "/proc");

} // namespace vmemfs::qemu
