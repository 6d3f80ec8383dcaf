// SPDX-License-Identifier: MIT
// Guardian process: it outlives a killed daemon and resumes the VMs that the daemon had paused.
//
// Guardian starts it and sends it the tickets of paused VMs over a socket. The daemon has ended, in whatever
// way, when the other end of that socket is closed.
#pragma once

#include <string_view>

namespace vmemfs {

/// Its process name (comm).
inline constexpr std::string_view kGuardianProcessName = "vmemfs-guardian";

/// The main function of the process; its standard input is that socket. Returns its exit code.
[[nodiscard]] int run_guardian();

} // namespace vmemfs
