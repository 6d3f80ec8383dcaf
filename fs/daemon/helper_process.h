// SPDX-License-Identifier: MIT
// First steps of the helper processes, guardian and mounter, which outlive the daemon and its terminal.
#pragma once

namespace vmemfs {

/// Ignores the signals that end a process by default, from its terminal, its service manager or its peer, and
/// then blocks none. A process that starts with all signals blocked is never ended by them.
void ignore_termination_signals();

/// Redirects standard input, output and error to the null device; closes them if that fails.
void leave_standard_streams();

} // namespace vmemfs
