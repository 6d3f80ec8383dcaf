// SPDX-License-Identifier: MIT
// Descriptors with which a worker process is started, besides standard input, output and error.
#pragma once

namespace vmemfs::leechcore {

inline constexpr int kWorkerSocket = 3;
inline constexpr int kWorkerMemory = 4; ///< of the SharedArea

} // namespace vmemfs::leechcore
