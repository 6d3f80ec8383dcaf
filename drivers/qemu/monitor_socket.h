// SPDX-License-Identifier: MIT
// A monitor socket as QEMU's command line has it, and where this process can reach it.
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
  std::string path;      ///< as QEMU was given it: perhaps relative to its working directory
  std::optional<int> fd; ///< number in QEMU of a socket that its parent (libvirt) opened
  /// The one that libvirt keeps for itself, by the name that it gives it: "charmonitor". It is left alone
  /// also while it is free: a daemon that starts takes it for good, and what was paused by it could not be
  /// resumed.
  bool libvirts = false;
};

/// An absolute path to the socket as seen from here; it leads through /proc/PID where QEMU lives in
/// another mount namespace. `proc` is where procfs is mounted. not_found: the socket has no path, or is
/// not there (any more). permission: looking was denied.
[[nodiscard]] Result<std::string> find_monitor_path(const MonitorSocket& socket, pid_t qemu,
                                                    const std::string& proc = "/proc");

/// Whether somebody is connected to the listening socket at `path` in the network namespace of `qemu`; false
/// also where that can't be told. A QEMU's monitor serves one client at a time.
[[nodiscard]] bool has_client(const std::string& path, pid_t qemu, const std::string& proc = "/proc");

} // namespace vmemfs::qemu
