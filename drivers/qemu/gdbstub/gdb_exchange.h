// SPDX-License-Identifier: MIT
// A socket pair with packets for QEMU's gdbstub in its buffer, and the reading of their replies.
//
// QEMU drops unread packets when the peer disconnects (7.2), and a process may die at any time; so QEMU is
// given a duplicate of our end, too.
#pragma once

#include "core/error.h"
#include "drivers/qemu/monitor/monitor.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {

struct ScriptSockets {
  UniqueFd ours;
  UniqueFd qemus; ///< to be passed to QEMU; the packets are in its buffer
};

/// Afterwards QEMU has a duplicate of our end, under the name kOurEnd, which the caller closes.
[[nodiscard]] Result<ScriptSockets> offer_packets(MonitorSession& session, std::string_view packets);

/// Appends to `replies` until it has `count` entries. Reports that the VM stopped are left out.
[[nodiscard]] Result<void> read_replies(int socket, std::size_t count,
                                        std::chrono::steady_clock::time_point deadline,
                                        std::vector<std::string>& replies);

/// Waits until QEMU has closed its end, without a result if it does not.
void wait_for_disconnect(int socket, std::chrono::steady_clock::time_point deadline);

} // namespace vmemfs::qemu
