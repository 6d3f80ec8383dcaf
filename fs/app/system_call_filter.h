// SPDX-License-Identifier: MIT
// Which system calls the daemon gives up (seccomp(2)). Each thread has its own: before any is made.
#pragma once

#include "core/error.h"

namespace vmemfs {

/// From now on, and in all that this process starts, calls that no part of vmemfs makes and that are of use
/// to whoever has taken it over fail (EPERM): mounting, tracing, loading modules, new namespaces, other
/// users, the network unless `network`, ... Needs no_new_privs or CAP_SYS_ADMIN. How many calls these are.
///
/// A list of what is refused, as what is needed is in the hands of libraries: the C library, libfuse,
/// sanitizers. unsupported: this kernel or this container has no seccomp.
[[nodiscard]] Result<int> refuse_unused_system_calls(bool network);

} // namespace vmemfs
