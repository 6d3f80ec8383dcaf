// SPDX-License-Identifier: MIT
// Command `vmemfs check`.
#pragma once

namespace vmemfs {

/// Prints whether this host is ready, one check per line, each "no" with the reason and the remedy. Returns
/// the process's exit code: 1 if something required is missing.
[[nodiscard]] int check_host();

} // namespace vmemfs
