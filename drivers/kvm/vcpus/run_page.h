// SPDX-License-Identifier: MIT
// The page that KVM shares with a VMM for one vCPU (struct kvm_run, Documentation/virt/kvm/api.rst), used
// from outside.
//
// KVM stores the vCPU's registers in it whenever KVM_RUN returns, if that is requested there
// (KVM_CAP_SYNC_REGS, on x86 since Linux 4.17), and takes in registers that are marked as changed when
// KVM_RUN is called the next time. Nothing else in the page is changed.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/proc_maps.h"
#include "host/process_space.h"

#include <cstdint>
#include <linux/kvm.h>
#include <optional>
#include <vector>

namespace vmemfs::kvm {

/// Where the process has the page of this vCPU mapped. nullopt: nowhere, or there are two of that number, as
/// of a process that runs several VMs.
[[nodiscard]] std::optional<Hva> run_page_of(std::uint32_t vcpu, const std::vector<Vma>& maps);

/// What KVM has stored.
struct StoredRegisters {
  kvm_regs general;
  kvm_sregs system;
  std::uint32_t exit_reason; ///< KVM_EXIT_...
};

/// To be used while the vCPU's thread is traced, so that nobody else does the same. Not thread-safe.
class RunPage {
public:
  /// `at`: where the process has mapped it.
  RunPage(const ProcessSpace& space, Hva at) : space_{&space}, at_{at} {}

  /// Requests registers, and marks those that are there as stale.
  Result<void> request();
  /// Registers that were stored since request(). nullopt: none, as KVM_RUN has not returned since, or KVM
  /// stores none.
  Result<std::optional<StoredRegisters>> stored() const;
  /// Undoes request(); what KVM has stored stays there.
  Result<void> restore();

  /// Has KVM take in these registers at the next KVM_RUN, of a vCPU that is between two instructions.
  Result<void> set_general(const kvm_regs& general);
  /// Whether KVM has taken them in.
  [[nodiscard]] Result<bool> taken_in() const;

private:
  template <typename T> Result<T> read(std::size_t offset) const;
  template <typename T> Result<void> write(std::size_t offset, const T& value) const;

  const ProcessSpace* space_;
  Hva at_;
  std::optional<std::uint64_t> requested_before_; ///< what the VMM itself requests
  std::uint64_t marked_before_ = 0;               ///< what the mark has replaced
};

} // namespace vmemfs::kvm
