// SPDX-License-Identifier: MIT
// The guardian: a small process that outlives the daemon for as long as it takes to let the VMs run again
// that the daemon had paused when it was killed.
//
// It is started by Guardian, hears over a socket which VMs those would be, and knows that the daemon has
// ended when that socket is closed at the other end, however it ended.
#pragma once

#include <string_view>

namespace vmemfs {

/// Its name in lists of processes.
inline constexpr std::string_view kGuardianProcessName = "vmemfs-guardian";

/// The life of the process whose standard input is that socket. Returns its exit code.
[[nodiscard]] int run_guardian();

} // namespace vmemfs
