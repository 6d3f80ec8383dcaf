// SPDX-License-Identifier: MIT
// The VMM of guests/kvm_vmm, with a running guest.
#pragma once

#include "guests/kvm_vmm/layout.h"
#include "support/child_process.h"
#include "support/files.h"

#include <cstddef>
#include <cstdint>
#include <linux/kvm.h>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::test {

struct KvmVmmOptions {
  std::string memory = "private"; ///< private, memfd, snapshot
  std::string name{};
  unsigned more_slots = 0;
  unsigned vcpus = 1;
  bool ports = false;   ///< the guests leave KVM_RUN all the time
  bool stopped = false; ///< the vCPUs run after the command "go"
  std::string api{};    ///< firecracker, cloud-hypervisor: it has the API of that
};

/// Why no VM can be run here, or the driver `kvm` cannot read one; nothing if both work.
[[nodiscard]] std::optional<std::string> why_no_kvm();

/// Throws if the VM does not come up.
class KvmVmm {
public:
  explicit KvmVmm(const KvmVmmOptions& options = {});

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] ChildProcess& process() { return process_; }
  [[nodiscard]] std::string api_socket() const { return dir_ / "api"; }

  /// Returns when the VMM has done it; see guests/kvm_vmm.
  void command(const std::string& text);

  /// Guest physical memory as the VMM itself has it; zeros where it has none.
  [[nodiscard]] std::vector<std::byte> truth(std::uint64_t gpa, std::size_t size);

  struct Registers {
    kvm_regs general;
    kvm_sregs system;
  };
  /// Of each vCPU, as KVM gives them to the VMM; only while they are stopped, in whatever way.
  [[nodiscard]] std::vector<Registers> registers();

private:
  /// Empty before the program has begun.
  [[nodiscard]] std::string output() const {
    const std::string path = dir_ / "output";
    return exists(path) ? read_file(path) : "";
  }

  TempDir dir_;
  ChildProcess process_;
};

} // namespace vmemfs::test
