// SPDX-License-Identifier: MIT
// Discovery of the QEMUs of this host.
//
// The kernel does not notify ordinary users of new processes, so every scan lists the processes. The cost of
// a scan is bounded, however many there are.
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
  std::unordered_map<pid_t, unsigned> others_; ///< number of times that each was checked, up to kEveryTime
  std::size_t next_recheck_ = 0; ///< the position among the older others where the next scan continues
};

} // namespace vmemfs::qemu
