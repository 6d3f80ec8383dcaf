// SPDX-License-Identifier: MIT
// The Linux kernel in saved memory without registers, such as a raw or LiME image.
//
// No vCPU shows which kernel ran, so all of memory is searched, and each kernel that is found is proven by
// its own structures. If not exactly one is proven, there is none.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "util/mutex.h"
#include "vm/linux/linux_kernel.h"
#include "vm/memory/address_space.h"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

/// One per guest. Thread-safe. What a guest has in its memory is not trusted: all work is bounded.
class SavedKernelFinder {
public:
  using Clock = std::chrono::steady_clock;

  /// Max number of kernels that are examined; of memory with more none is.
  static constexpr std::size_t kMaxKernels = 16;
  /// Time after a failure of the memory, or a proof that took too long, until the next attempt.
  static constexpr std::chrono::seconds kRetryInterval{5};

  /// `memory` outlives this object, and does not change.
  explicit SavedKernelFinder(AddressSpace& memory, const KernelSearchLimits& limits = {})
      : memory_{memory}, limits_{limits} {}

  /// The kernel that ran when memory was saved; no_data, and why, if there is none. Found out once. Waits for
  /// the guest's memory, and for other calls. Work that reaches a limit is continued by the next call that
  /// begins after it.
  [[nodiscard]] Result<LinuxKernel> find() EXCLUDES(mutex_);

  /// Whether all work is done, so that find() will say the same for ever.
  [[nodiscard]] bool decided() EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    return decided_;
  }

private:
  void work() REQUIRES(mutex_);
  /// Whether all memory is searched; else reason_ says why not.
  [[nodiscard]] bool search() REQUIRES(mutex_);
  /// Whether all that were found are proven or refused; else reason_ says why not.
  [[nodiscard]] bool prove() REQUIRES(mutex_);
  void decide() REQUIRES(mutex_);

  AddressSpace& memory_;
  const KernelSearchLimits limits_;
  Mutex mutex_; ///< held while memory is searched
  bool searched_ GUARDED_BY(mutex_) = false;
  bool decided_ GUARDED_BY(mutex_) = false;
  Gpa search_from_ GUARDED_BY(mutex_){};
  unsigned texts_ GUARDED_BY(mutex_) = 0;             ///< that may be a VMCOREINFO
  std::vector<LinuxKernel> found_ GUARDED_BY(mutex_); ///< and neither proven nor refused
  std::vector<LinuxKernel> proven_ GUARDED_BY(mutex_);
  std::string refusals_ GUARDED_BY(mutex_);    ///< which were refused, and why
  std::string reason_ GUARDED_BY(mutex_);      ///< why there is none
  Clock::time_point cut_ GUARDED_BY(mutex_){}; ///< when the last work reached a limit
  Clock::time_point next_attempt_ GUARDED_BY(mutex_){};
};

} // namespace vmemfs
