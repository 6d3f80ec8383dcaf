// SPDX-License-Identifier: MIT
// A visit to QEMU's gdbstub: a batch of packets that QEMU processes on its own, and its replies.
//
// Protocol: GDB's remote serial protocol, as QEMU speaks it (checked with 7.2).
//
// Implementation: one end of a socket pair is passed to QEMU through the monitor; no file system path and no
// port is involved. QEMU stops the VM when the stub gets its connection. Before that, all packets are in the
// socket; the last one resumes the VM if it was running. From then on QEMU does the rest, even if this
// process dies. QEMU also keeps a duplicate of this process's end, because QEMU drops unread packets when the
// peer disconnects (7.2).
//
// QEMU has one gdbstub. If it is off, the socket becomes a chardev, and the stub is started on it; afterwards
// stub, chardev and duplicate are removed. If the user has started it (-s, -gdb, the monitor command
// gdbserver) on a listening socket, ours becomes that chardev's client by the command add_client, which
// QEMU refuses if a debugger is connected. The stub stays what it is, and the port or path where it is; a
// debugger that connects meanwhile waits for the end of the visit. QEMU listens again as soon as it has read
// the end of the stream, whoever is alive then.
#pragma once

#include "core/error.h"
#include "drivers/qemu/monitor/monitor.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {

/// The packets of one visit.
class GdbScript {
public:
  /// The size that a socket accepts at once on any kernel; visit_gdbstub() refuses more.
  static constexpr std::size_t kMaxBytes = std::size_t{80} << 10;

  void add(std::string_view payload);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::size_t packets() const { return packets_; }

private:
  std::string bytes_;
  std::size_t packets_ = 0;
};

struct GdbVisit {
  std::vector<std::string> replies; ///< to the packets, in order; fewer only if the visit failed
  std::optional<Error> failure;     ///< of the visit; the caller checks the replies themselves
  bool started = false; ///< QEMU has the packets: without replies, it is unknown what it did or will do
};

/// A running VM is stopped for about a millisecond, or a few with many packets, and then resumed; a paused
/// one stays paused.
///
/// `user_chardevs`: ids of the chardev of the user's own stub, see QemuCommandLine::gdbstub_chardevs. A stub
/// that the user started later, on a chardev with another id (`gdbserver chardev:X`), is not detected, and
/// lost.
///
/// busy: a debugger is connected to the stub, or another vmemfs. unsupported: the user's stub is not on a
/// listening socket.
[[nodiscard]] GdbVisit visit_gdbstub(MonitorSession& session, const GdbScript& script,
                                     std::span<const std::string> user_chardevs);

} // namespace vmemfs::qemu
