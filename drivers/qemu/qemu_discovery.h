// SPDX-License-Identifier: MIT
// Finds the QEMUs of this host.
//
// The kernel tells ordinary users of no process that begins, so the processes are listed again and again;
// what that costs is bounded, however many there are.
#pragma once

#include "driver/discovery.h"
#include "host/process.h"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace vmemfs::qemu {

/// Not thread-safe.
class QemuDiscovery final : public Discovery {
public:
  Result<std::vector<FoundVm>> scan() override;

private:
  struct Known {
    Process process;
    FoundVm vm;
  };

  void forget_exited();
  void take_if_qemu(pid_t pid);

  std::map<pid_t, Known> qemus_;
  std::unordered_map<pid_t, unsigned> others_; ///< how often each was looked at, up to kEveryTime
  std::size_t next_recheck_ = 0;               ///< where among the old others the next look goes on
};

} // namespace vmemfs::qemu
