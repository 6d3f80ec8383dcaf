// SPDX-License-Identifier: MIT
#include "vm/linux/live_kernel_finder.h"

#include "vm/linux/kernel_examination.h"

#include <utility>

namespace vmemfs {

std::optional<LinuxKernel> LiveKernelFinder::known() {
  auto kernel = kernel_ ? examine_kernel(memory_, kernel_->page, limits_.examination) : std::nullopt;
  if (!kernel || kernel->info.text != kernel_->info.text ||
      !is_still_proven(memory_, *kernel, *kernel_->proven_by, limits_.examination)) {
    kernel_.reset();
    return std::nullopt;
  }
  kernel->proof = kernel_->proof;
  kernel->proven_by = kernel_->proven_by;
  return kernel;
}

Result<LinuxKernel> LiveKernelFinder::find() {
  const Clock::time_point asked = Clock::now();
  const MutexLock lock{mutex_};
  if (auto kernel = known()) {
    return std::move(*kernel);
  }
  // Calls that waited while a search was cut do not continue it one after the other.
  if (Clock::now() < next_search_ || asked < cut_) {
    return fail(ErrorKind::no_data, "linux", reason_);
  }
  if (!search_) {
    search_.emplace(memory_, limits_);
  }
  auto found = search_->find();
  if (found) {
    kernel_ = *found;
    search_.reset();
    return found;
  }
  reason_ = found.error().text;
  if (search_->decided()) {
    search_.reset();
    next_search_ = Clock::now() + kSearchInterval;
  } else {
    cut_ = Clock::now();
  }
  return found;
}

} // namespace vmemfs
