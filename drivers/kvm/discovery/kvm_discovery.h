// SPDX-License-Identifier: MIT
// Discovery of the VMs of KVM on this host, by the kernel's own list of open files.
//
// The cost of a walk grows with the open files of the host, some of which any user can have, so the time
// between two walks grows with what they cost. So few VMs of other users than root and the one of this
// process are found that their descriptors leave room for others.
#pragma once

#include "driver/discovery.h"
#include "drivers/kvm/kvm_runtime.h"
#include "drivers/kvm/walk/vm_listing.h"
#include "host/process.h"
#include "util/users/owner_shares.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace vmemfs::kvm {

/// Not thread-safe.
class KvmDiscovery final : public Discovery {
public:
  /// Null: loads the program at the first scan.
  explicit KvmDiscovery(std::shared_ptr<DriverRuntime> runtime);

  Result<std::vector<FoundVm>> scan() override;

private:
  using Clock = std::chrono::steady_clock;
  using Id = std::pair<pid_t, VmKey>;

  struct Known {
    Process process;
    FoundVm vm;
    OwnerShares::Share share;
    unsigned missed = 0; ///< walks in a row without it
  };

  void take(const std::vector<ListedVm>& listed);
  void add(const Id& id, std::uint64_t index);
  [[nodiscard]] std::vector<FoundVm> found() const;

  std::shared_ptr<DriverRuntime> runtime_; ///< null until the first scan, outside of a mount
  OwnerShares shares_;
  std::map<Id, Known> known_;
  Clock::time_point next_walk_{};
  bool reported_full_ = false;
};

} // namespace vmemfs::kvm
