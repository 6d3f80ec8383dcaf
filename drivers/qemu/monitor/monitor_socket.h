// SPDX-License-Identifier: MIT
// A monitor socket as given on QEMU's command line, and the lookup of an address at which this process can
// reach it.
//
// A name on a command line says where QEMU listened when it started. Since then QEMU may have another root
// (-chroot) or working directory (-daemonize), so the socket is first looked for among the open files of the
// process, by that name, and then for a way to it. Which process is at the other end only a connection
// proves: see monitor_owner.h.
//
// Sources of the formats: proc(5) for /proc/PID/fd, root, cwd, environ and ns; socket_tables.h. Nothing here
// connects to anything. Thread-safe.
#pragma once

#include "core/error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

namespace vmemfs::qemu {

/// A TCP port, or the first free one of a range, at a host that is a name or an address; empty: all
/// addresses.
struct TcpPlace {
  std::string host;
  std::uint16_t first = 0;
  std::uint16_t last = 0; ///< inclusive
};

/// A QMP monitor on a listening socket. Exactly one of path, fd and tcp is given.
struct MonitorSocket {
  std::string path;      ///< as on the command line: may be relative to QEMU's working directory
  std::optional<int> fd; ///< descriptor in QEMU of a socket that its parent (libvirt) opened
  /// True for libvirt's own monitor, recognised by its name "charmonitor". It is not used even while it is
  /// free: a libvirt daemon that starts takes it and keeps it, and then a VM that was paused through it could
  /// not be resumed.
  bool libvirts = false;
  bool abstract = false; ///< `path` is an abstract name (unix(7)), not a path
  bool padded = false;   ///< the abstract name is followed by zero bytes (tight=off)
  bool chrooted = false; ///< QEMU changed its root afterwards (-chroot)
  std::optional<TcpPlace> tcp = std::nullopt;
};

/// Its address (drivers/qemu_protocol/qmp_address.h), valid in this process; a path goes through /proc/PID if
/// QEMU is in another mount namespace. `proc` is the mountpoint of procfs. not_found: QEMU does not listen
/// there (yet, or any more), or the socket's file was removed. permission: the lookup was denied.
/// unsupported: QEMU listens there, but this process cannot reach it; the error has the remedy.
[[nodiscard]] Result<std::string> find_monitor(const MonitorSocket& socket, pid_t qemu,
                                               const std::string& proc = "/proc");

/// True if a client is connected to the monitor at `address` in the network namespace of `qemu`; false also
/// if that is unknown. A monitor of QEMU serves one client at a time.
[[nodiscard]] bool has_client(const std::string& address, pid_t qemu, const std::string& proc = "/proc");

} // namespace vmemfs::qemu
