// SPDX-License-Identifier: MIT
// Command `vmemfs save`.
#pragma once

#include "fs/save/save_options.h"

namespace vmemfs {

inline constexpr int kSaveComplete = 0;
inline constexpr int kSaveFailed = 1;
/// The image is there, but parts of it could not be read, the guest did not stay paused, or may stay
/// paused now.
inline constexpr int kSaveNotWhole = 3;

/// Saves a VM's memory, with progress and errors on standard error. SIGINT, SIGTERM, SIGHUP and others end
/// it without a file and with the guest resumed. Returns the process's exit code: one of those above, or 128
/// + signal.
[[nodiscard]] int save(const SaveOptions& options);

} // namespace vmemfs
