// SPDX-License-Identifier: MIT
// A visit to QEMU's gdbstub: packets that QEMU works off by itself, and its replies.
//
// Protocol: GDB's remote serial protocol, as QEMU speaks it (checked with 7.2).
//
// How: one end of a socket pair goes to QEMU through the monitor, becomes a chardev, and the gdbstub is
// put on it; no file system path and no port is involved. QEMU stops the VM when the stub gets its
// connection. All packets, with the one that lets the VM run again (only if it ran before) at their
// end, lie in the socket before that: from then on the rest happens inside QEMU, even if this process
// dies. QEMU keeps a duplicate of our end too: where it sees the other side leave, it drops what it has
// not read (7.2). Afterwards stub, chardev and duplicate are removed.
#pragma once

#include "core/error.h"
#include "drivers/qemu/monitor.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {

/// The packets of one visit.
class GdbScript {
public:
  /// What a socket takes at once on any kernel; more is refused by visit_gdbstub().
  static constexpr std::size_t kMaxBytes = std::size_t{80} << 10;

  void add(std::string_view payload);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::size_t packets() const { return packets_; }

private:
  std::string bytes_;
  std::size_t packets_ = 0;
};

struct GdbVisit {
  std::vector<std::string> replies; ///< to the packets, in order; fewer only where it failed
  std::optional<Error> failure;     ///< of the visit; what the replies say is the caller's to judge
  bool started = false; ///< QEMU has got the packets: without replies, who knows what it did or will do
};

/// A running VM is stopped for a millisecond or, with many packets, a few and runs again; a paused one stays
/// paused.
///
/// busy: the gdbstub is in use (a stub on a chardev with a name of the user's own, `-gdb chardev:X`,
/// can't be told here: see QemuCommandLine::gdbstub).
[[nodiscard]] GdbVisit visit_gdbstub(MonitorSession& session, GdbScript script);

} // namespace vmemfs::qemu
