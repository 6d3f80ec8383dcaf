// SPDX-License-Identifier: MIT
// The VMs of KVM on this host, as the kernel has them: a BPF iterator over the open files of processes.
//
// The program is loaded once, which takes rights that the daemon gives up afterwards. Each walk makes a new
// iterator of the loaded program, which takes none. Linux 6.1 or newer, with KVM's types in its BTF.
#pragma once

#include "core/error.h"
#include "drivers/kvm/walk/vm_listing.h"
#include "util/mutex.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sys/types.h>
#include <vector>

struct vm_slots; // the skeleton

namespace vmemfs::kvm {

/// The slots of one VM at one time.
struct VmSlots {
  std::uint64_t generation = 0;
  std::vector<Slot> slots;       ///< sorted by address
  std::vector<ListedVcpu> vcpus; ///< those that the process has open, sorted
};

/// Thread-safe: one walk at a time.
class VmWalk {
public:
  /// Some 20 to 120 ms. permission, unsupported: the text has the reason and the remedy.
  static Result<std::unique_ptr<VmWalk>> load();

  VmWalk(const VmWalk&) = delete;
  VmWalk& operator=(const VmWalk&) = delete;
  ~VmWalk();

  /// All VMs of the host, or of the pid namespace of this process. About 0.5 us for each open file of the
  /// host.
  [[nodiscard]] Result<std::vector<ListedVm>> list_all() const;

  /// The VMs that process `pid` owns, in the order of their file descriptors. Its files alone are visited. A
  /// process that ended has none.
  [[nodiscard]] Result<std::vector<ListedVm>> list_of(pid_t pid) const;

  /// The slots of a VM of process `pid`. not_found: it has no such VM any more. busy: they kept changing.
  [[nodiscard]] Result<VmSlots> slots_of(pid_t pid, VmKey vm) const;

private:
  struct Unload {
    void operator()(vm_slots* skeleton) const;
  };
  using Skeleton = std::unique_ptr<vm_slots, Unload>;

  VmWalk(Skeleton skeleton, UniqueFd link);

  [[nodiscard]] Result<Listing> walk(int link, VmKey vm, std::uint64_t from_gfn) const EXCLUDES(mutex_);
  [[nodiscard]] Result<UniqueFd> link_to(pid_t pid) const;
  [[nodiscard]] Result<VmSlots> slots_once(int link, VmKey vm) const;

  const Skeleton skeleton_;
  const UniqueFd link_; ///< to all processes
  mutable Mutex mutex_; ///< of the request that the program reads; taken last
};

} // namespace vmemfs::kvm
