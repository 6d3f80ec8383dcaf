// SPDX-License-Identifier: MIT
// Command `vmemfs check [--unit]`.
#pragma once

namespace vmemfs {

/// Prints whether this host is ready, one check per line, each "no" with the reason and the remedy. Returns
/// the process's exit code: 1 if something required is missing. Gives up privileges before VMs are checked.
[[nodiscard]] int check_host();

/// Command `vmemfs check --unit`: prints a drop-in for the systemd unit with all privileges that the drivers
/// of this program need. Returns the process's exit code.
[[nodiscard]] int print_unit_settings();

} // namespace vmemfs
