// SPDX-License-Identifier: MIT
#include "vm/linux/saved_kernel_finder.h"

#include "vm/linux/kernel_examination.h"
#include "vm/linux/kernel_proof.h"
#include "vm/linux/vmcoreinfo_search.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

/// The release is what the guest says, of printable characters.
std::string name_of(const LinuxKernel& kernel) {
  constexpr std::size_t kMaxRelease = 64;
  return fmt::format("{} with its VMCOREINFO at {:#x}", kernel.info.release.substr(0, kMaxRelease),
                     kernel.page.value());
}

} // namespace

Result<LinuxKernel> SavedKernelFinder::find() {
  const Clock::time_point asked = Clock::now();
  const MutexLock lock{mutex_};
  // Calls that waited while work was cut do not continue it one after the other.
  if (!decided_ && Clock::now() >= next_attempt_ && asked >= cut_) {
    work();
  }
  if (!decided_ || proven_.size() != 1) {
    return fail(ErrorKind::no_data, "linux", reason_);
  }
  return proven_.front();
}

void SavedKernelFinder::work() {
  if ((searched_ || search()) && prove()) {
    decide();
  }
}

bool SavedKernelFinder::search() {
  using End = VmcoreinfoSearch::End;
  auto found = std::exchange(found_, {});
  VmcoreinfoSearch search{memory_, search_from_, limits_.search};
  const End end = search.run([&](Gpa page) {
    // One that is not read in time is missed for good, so it gets more time than one that is searched again.
    if (auto kernel = examine_kernel(memory_, page, limits_.proof)) {
      found.push_back(std::move(*kernel));
    }
    return found.size() > kMaxKernels;
  });
  found_ = std::move(found);
  texts_ += search.examined();
  if (end == End::limit) {
    search_from_ = search.position();
    reason_ = fmt::format("{}: {} of {} MiB are searched", VmcoreinfoSearch::reason(end),
                          search_from_.value() >> 20U, memory_.size() >> 20U);
    cut_ = Clock::now();
    return false;
  }
  if (end == End::failure) {
    search_from_ = search.position();
    reason_ = VmcoreinfoSearch::reason(end);
    next_attempt_ = Clock::now() + kRetryInterval;
    return false;
  }
  searched_ = true;
  return true;
}

bool SavedKernelFinder::prove() {
  if (found_.size() > kMaxKernels) {
    return true;
  }
  const Clock::time_point end = Clock::now() + limits_.proof;
  while (!found_.empty()) {
    if (Clock::now() >= end) {
      reason_ = "there are several Linux kernels in memory, and not all are examined; that goes on at the "
                "next read";
      cut_ = Clock::now();
      return false;
    }
    LinuxKernel& kernel = found_.back();
    const auto proof = prove_kernel(memory_, kernel, limits_.proof, limits_.ring_walks);
    if (proof) {
      kernel.proof = proof->proof;
      kernel.proven_by = *proof;
      proven_.push_back(std::move(kernel));
    } else if (proof.error().kind == ErrorKind::timed_out) {
      reason_ = proof.error().text;
      next_attempt_ = Clock::now() + kRetryInterval;
      return false;
    } else {
      refusals_ += fmt::format("; {}: {}", name_of(kernel), proof.error().text);
    }
    found_.pop_back();
  }
  return true;
}

void SavedKernelFinder::decide() {
  decided_ = true;
  if (found_.size() > kMaxKernels) {
    reason_ = fmt::format("there are more than {} Linux kernels in memory; none is examined", kMaxKernels);
  } else if (texts_ == 0) {
    reason_ = "no VMCOREINFO of a Linux kernel is in the guest's memory";
  } else if (proven_.size() > 1) {
    reason_ = fmt::format(
        "{} Linux kernels in memory may be the one that ran, such as after a reboot or kexec, and "
        "without vCPU registers nothing tells which:",
        proven_.size());
    for (const LinuxKernel& kernel : proven_) {
      reason_ += (&kernel == &proven_.front() ? " " : "; ") + name_of(kernel);
    }
  } else if (refusals_.empty()) {
    reason_ = fmt::format(
        "{} VMCOREINFO of a Linux kernel in memory, but none has page tables that map the kernel's image "
        "where it says",
        texts_);
  } else {
    reason_ = "without vCPU registers no Linux kernel in memory is proven to be the one that ran" + refusals_;
  }
  found_.clear();
}

} // namespace vmemfs
