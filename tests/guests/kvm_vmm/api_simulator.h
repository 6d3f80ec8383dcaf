// SPDX-License-Identifier: MIT
// Simulator of the API servers of Firecracker and cloud-hypervisor, as far as they pause and resume a VM.
//
// From their documents: PATCH /vm and GET / of Firecracker's swagger file; vmm.ping, vm.info, vm.pause and
// vm.resume of cloud-hypervisor's OpenAPI file. Both have one thread, answer one request at a time and keep
// the connection open; cloud-hypervisor refuses to pause a VM that is paused.
#pragma once

#include <functional>
#include <string>

namespace vmemfs::test::kvm_vmm {

/// Starts a thread that serves `socket` for ever. `stop(true)` pauses the VM, `stop(false)` resumes it.
void start_api(const std::string& socket, bool is_firecracker, std::function<void(bool)> stop);

} // namespace vmemfs::test::kvm_vmm
