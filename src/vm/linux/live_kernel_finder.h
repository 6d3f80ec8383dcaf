// SPDX-License-Identifier: MIT
// The Linux kernel of a guest whose memory may change, and whose registers do not show which kernel runs,
// such as those of aarch64 guests.
//
// A kernel is proven by its own structures, as in saved memory. A list that changes while it is read may look
// broken, so it is read several times.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "vm/linux/kernel_proof.h"
#include "vm/linux/linux_kernel.h"
#include "vm/linux/saved_kernel_finder.h"
#include "vm/memory/address_space.h"

#include <chrono>
#include <optional>
#include <string>

namespace vmemfs {

/// One per guest. Thread-safe. What a guest has in its memory is not trusted: all work is bounded.
class LiveKernelFinder {
public:
  using Clock = std::chrono::steady_clock;

  /// Time after a search of all memory that found none until the next.
  static constexpr std::chrono::seconds kSearchInterval{5};

  /// `memory` outlives this object.
  explicit LiveKernelFinder(AddressSpace& memory, const KernelSearchLimits& limits = {})
      : memory_{memory}, limits_{limits} {
    limits_.ring_walks = kMaxRingWalks;
  }

  /// The kernel that runs; no_data, and why, if there is none. Where it was found is remembered, but proven
  /// again by each call. Waits for the guest's memory, and for other calls. Work that reaches a limit is
  /// continued by the next call that begins after it.
  [[nodiscard]] Result<LinuxKernel> find() EXCLUDES(mutex_);

private:
  /// The one that was found before, if it still is there.
  [[nodiscard]] std::optional<LinuxKernel> known() REQUIRES(mutex_);

  AddressSpace& memory_;
  KernelSearchLimits limits_; ///< constant
  Mutex mutex_;               ///< held while memory is searched
  std::optional<LinuxKernel> kernel_ GUARDED_BY(mutex_);
  std::optional<SavedKernelFinder> search_ GUARDED_BY(mutex_); ///< one that goes on
  Clock::time_point next_search_ GUARDED_BY(mutex_){};
  Clock::time_point cut_ GUARDED_BY(mutex_){}; ///< when the last search reached a limit
  std::string reason_ GUARDED_BY(mutex_);      ///< why the last search found none
};

} // namespace vmemfs
