// SPDX-License-Identifier: MIT
// A Linux kernel in a guest's memory: where it lies, and how that is known.
#pragma once

#include "core/gpa.h"
#include "linux/tasks/task_layout.h"
#include "linux/vmcoreinfo.h"
#include "vm/linux/architecture/kernel_architecture.h"
#include "vm/linux/architecture/kernel_paging.h"

#include <chrono>
#include <cstdint>
#include <optional>

namespace vmemfs {

/// How it is known that the kernel of a VMCOREINFO is the one that runs, and not one of a former boot.
enum class KernelProof : std::uint8_t {
  vcpu,       ///< the page tables of a vCPU are the kernel's
  structures, ///< the kernel's own structures; see prove_kernel()
  vmcoreinfo, ///< the same without its list of processes: the kernel has no types by which to read that
};

/// A proof by a kernel's own structures, and where they are.
struct ProvenBy {
  KernelProof proof;
  std::uint64_t vmcoreinfo_variable; ///< vmcoreinfo_data
  std::uint64_t idle_task = 0;       ///< init_task, with the layout
  std::optional<TaskLayout> tasks{}; ///< of structures alone
};

struct LinuxKernel {
  Vmcoreinfo info;
  Gpa page;                                         ///< of the VMCOREINFO
  const KernelArchitecture* architecture = nullptr; ///< never null of one that was found
  KernelPaging paging{};                            ///< with the kernel's own page tables
  /// Virtual address at which the kernel has all memory: that of guest physical address 0.
  std::optional<std::uint64_t> direct_map{};
  Gpa direct_map_begin{}; ///< the lowest memory that is mapped there
  /// The kernel's code and data, and the virtual address of its begin; may be empty.
  GpaRange image{};
  std::uint64_t image_address = 0;
  KernelProof proof = KernelProof::vcpu;
  std::optional<ProvenBy> proven_by{}; ///< of a proof without vCPUs
};

struct KernelSearchLimits {
  std::chrono::seconds search{10};     ///< of one call's search
  std::chrono::seconds examination{1}; ///< of the reading of page tables, for one text
  std::chrono::seconds proof{20};      ///< of one call's proofs by the kernels' own structures
  unsigned ring_walks = 1;             ///< see prove_kernel()
};

} // namespace vmemfs
