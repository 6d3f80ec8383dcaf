// SPDX-License-Identifier: MIT
// Names of VMs, from the command line of the program that runs them.
//
// Pure functions, thread-safe. The owner of the process chooses all of it: not trusted.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vmemfs::kvm {

/// What is known of the process.
struct VmProgram {
  std::string_view executable; ///< as the kernel reports it; may be empty
  std::string_view short_name; ///< comm
};

/// The name that the command line gives the VM; empty if it gives none:
///
///   Firecracker       --id, unless it is the default one
///   cloud-hypervisor  the directory of its API socket, if that is VM's own; else the file's name
///   crosvm            --name, else its control socket
///   kvmtool           --name
///   QEMU              -name, and guest= in it
///   any other         --name, else --id
[[nodiscard]] std::string name_from_command_line(const VmProgram& program,
                                                 std::span<const std::string> arguments);

} // namespace vmemfs::kvm
