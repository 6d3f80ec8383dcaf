// SPDX-License-Identifier: MIT
// GDB sockets of QEMUs, recognised without a connection: one would pause the guest, and nobody would resume
// it.
#pragma once

#include "core/error.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// invalid: a QEMU serves GDB at this path, as the command line of its process says; the text names the
/// remedy. One that was started by the monitor (`gdbserver`), or that runs with another root, is not
/// recognised. Looks through all visible processes; connects to nothing. Thread-safe. `origin`: of the error.
///
/// A process can have any command line, so that of another user than the socket's is not believed.
[[nodiscard]] Result<void> refuse_gdb_socket(const std::string& path, std::string_view origin);

/// The paths of the sockets on which a QEMU with these arguments, which are not trusted, serves GDB. Pure
/// function.
[[nodiscard]] std::vector<std::string> gdb_socket_paths(std::span<const std::string> arguments);

} // namespace vmemfs
