// SPDX-License-Identifier: MIT
// The Linux kernel that runs in a guest, found in its memory without anything from the guest's disk.
//
// The kernel's VMCOREINFO is searched for in main memory. One of a former boot may still be there, so it
// counts only if the page tables of a vCPU are those of the kernel that it describes, and that kernel has
// not left the machine to another one.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_set.h"
#include "util/mutex.h"
#include "vm/linux/linux_kernel.h"
#include "vm/memory/address_space.h"

#include <chrono>
#include <optional>
#include <span>
#include <string>

namespace vmemfs {

/// One per guest. Thread-safe. Of x86-64 guests, whose registers show page tables. What a guest has in its
/// memory is not trusted: all work is bounded.
class LinuxKernelFinder {
public:
  using Clock = std::chrono::steady_clock;

  /// `memory` outlives this object.
  explicit LinuxKernelFinder(AddressSpace& memory, const KernelSearchLimits& limits = {})
      : memory_{memory}, limits_{limits} {}

  /// The kernel that these vCPUs run; no_data, and what was found instead, if there is none. The place where
  /// it was found is remembered, but proven again by each call, as the guest may have booted since. Waits for
  /// the guest's memory, and for other calls. A search that reaches a limit is continued by the next call
  /// that begins after it.
  [[nodiscard]] Result<LinuxKernel> find(std::span<const RegisterSet> vcpus) EXCLUDES(mutex_);

  /// Time after a search of all memory that failed until the next.
  static constexpr std::chrono::seconds kSearchInterval{5};

private:
  /// nullopt: the kernel of this VMCOREINFO does not run.
  [[nodiscard]] std::optional<LinuxKernel> examine(Gpa page, std::span<const RegisterSet> vcpus);
  /// nullopt: reason_ says why.
  [[nodiscard]] std::optional<LinuxKernel> search(std::span<const RegisterSet> vcpus) REQUIRES(mutex_);

  AddressSpace& memory_;
  const KernelSearchLimits limits_;
  Mutex mutex_; ///< held while memory is searched
  std::optional<Gpa> page_ GUARDED_BY(mutex_);
  Gpa search_from_ GUARDED_BY(mutex_){};       ///< where the search goes on
  Clock::time_point cut_ GUARDED_BY(mutex_){}; ///< when the last search reached a limit
  Clock::time_point next_search_ GUARDED_BY(mutex_){};
  std::string reason_ GUARDED_BY(mutex_); ///< why the last search found none
};

} // namespace vmemfs
