// SPDX-License-Identifier: MIT
// Names of VMs, from where their process is: a jail's directory, a container, a unit of systemd.
//
// Pure functions, thread-safe. The owner of the process chooses some of it: not trusted.
#pragma once

#include <string>
#include <string_view>

namespace vmemfs::kvm {

/// What is known of the process.
struct VmPlace {
  std::string_view executable{}; ///< as the kernel reports it; may be empty
  std::string_view root{};       ///< its root directory
  std::string_view short_name{}; ///< comm
  std::string_view cgroups{}; ///< of a thread of a vCPU, or of the process: /proc/PID/cgroup, see cgroups(7)
};

/// The first name that one of these gives; empty if none does:
///
///   jail       the directory above the root, .../NAME/root, also if the executable is in it
///   comm       libkrun's VM:NAME
///   container  of Kata, podman, Docker, containerd and CRI-O: the first 12 digits of the ID
///   libvirt    machine-qemu-N-NAME.scope
///   systemd    the instance of a unit, such as microvm@NAME.service
///   cgroup     the last name, if the one above is that of the executable, as the jailer of Firecracker has
///   it
[[nodiscard]] std::string name_from_place(const VmPlace& place);

} // namespace vmemfs::kvm
