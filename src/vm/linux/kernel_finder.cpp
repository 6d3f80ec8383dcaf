// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_finder.h"

#include "arch/x86_64/paging.h"
#include "vm/linux/kernel_end.h"
#include "vm/linux/kernel_examination.h"
#include "vm/linux/vmcoreinfo_search.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs {

Result<LinuxKernel> LinuxKernelFinder::find(std::span<const RegisterSet> vcpus) {
  if (!vcpus.empty() && std::ranges::none_of(vcpus, x86_64::can_have_paging)) {
    return fail(
        ErrorKind::no_data, "linux",
        "no kernel can be proven, because the registers do not say what the page tables are: those of "
        "a Xen PV domain have addresses of the host, and its kernel is not supported; PVH and HVM "
        "domains are");
  }
  const Clock::time_point asked = Clock::now();
  const MutexLock lock{mutex_};
  if (page_) {
    if (auto kernel = examine(*page_, vcpus)) {
      return std::move(*kernel);
    }
    page_.reset();
  }
  // Calls that waited while a search was cut do not continue it one after the other.
  if (Clock::now() < next_search_ || asked < cut_) {
    return fail(ErrorKind::no_data, "linux", reason_);
  }
  if (auto kernel = search(vcpus)) {
    page_ = kernel->page;
    return std::move(*kernel);
  }
  return fail(ErrorKind::no_data, "linux", reason_);
}

std::optional<LinuxKernel> LinuxKernelFinder::examine(Gpa page, std::span<const RegisterSet> vcpus) {
  auto kernel = examine_kernel(memory_, page, vcpus, limits_.examination);
  if (kernel && has_ended(memory_, *kernel, vcpus, limits_.examination)) {
    kernel.reset();
  }
  return kernel;
}

std::optional<LinuxKernel> LinuxKernelFinder::search(std::span<const RegisterSet> vcpus) {
  using End = VmcoreinfoSearch::End;
  std::optional<LinuxKernel> found;
  VmcoreinfoSearch search{memory_, search_from_, limits_.search};
  const End end = search.run([&](Gpa page) {
    found = examine(page, vcpus);
    return found.has_value();
  });
  search_from_ = end == End::limit ? search.position() : Gpa{0};
  if (found) {
    return found;
  }
  if (end == End::limit) {
    cut_ = Clock::now();
  } else {
    next_search_ = Clock::now() + kSearchInterval;
  }
  reason_ = end != End::complete     ? VmcoreinfoSearch::reason(end)
            : search.examined() == 0 ? "no VMCOREINFO of a Linux kernel is in the guest's memory"
                                     : fmt::format("{} VMCOREINFO of a Linux kernel in memory, but no vCPU "
                                                   "runs a kernel that one of them describes",
                                                   search.examined());
  return std::nullopt;
}

} // namespace vmemfs
