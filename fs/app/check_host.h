// SPDX-License-Identifier: MIT
// `vmemfs check`.
#pragma once

namespace vmemfs {

/// Prints whether this host is ready, one thing a line, each "no" with the reason and what helps. Returns the
/// process's exit code: 1 where something is missing that is needed.
[[nodiscard]] int check_host();

} // namespace vmemfs
