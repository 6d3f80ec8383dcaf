// SPDX-License-Identifier: MIT
// Filter of the daemon's system calls (seccomp(2)). Each thread has its own: set before any thread is
// created.
#pragma once

#include "core/error.h"
#include "driver/needs.h"

namespace vmemfs {

/// From now on, in this process and all that it starts, calls fail with EPERM if `needs` does not have them
/// and they would help an attacker who controls it, such as mounting, tracing, loading modules, new
/// namespaces, other users, and the network. Requires no_new_privs or CAP_SYS_ADMIN. Returns the number of
/// these calls.
///
/// A list of refused calls, not of allowed ones, because the needed calls depend on libraries: the C library,
/// libfuse, sanitizers. unsupported: this kernel or container has no seccomp.
[[nodiscard]] Result<int> refuse_unused_system_calls(const Needs& needs);

} // namespace vmemfs
