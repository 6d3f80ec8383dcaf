// SPDX-License-Identifier: MIT
// Main function of a worker process: a loop of requests for one device of LeechCore.
#pragma once

namespace vmemfs::leechcore {

/// Serves the socket until its other end is closed, then closes the device. The process ends two seconds
/// after that at the latest, also if the library hangs. Returns the exit code.
[[nodiscard]] int run_worker();

} // namespace vmemfs::leechcore
