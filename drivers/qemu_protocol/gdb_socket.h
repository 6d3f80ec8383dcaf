// SPDX-License-Identifier: MIT
// GDB sockets of QEMUs, recognised without a connection: one would pause the guest, and nobody would resume
// it.
#pragma once

#include "core/error.h"

#include <string>
#include <string_view>

namespace vmemfs {

/// invalid: a QEMU serves GDB at this path, as the command line of its process says; the text names the
/// remedy. One that was started by the monitor (`gdbserver`) is not recognised. Looks through all visible
/// processes; connects to nothing. Thread-safe. `origin` as of the error.
///
/// A process can have any command line, so that of another user than the socket's is not believed.
[[nodiscard]] Result<void> refuse_gdb_socket(const std::string& path, std::string_view origin);

} // namespace vmemfs
