// SPDX-License-Identifier: MIT
// Discovery of the QEMUs of this host.
//
// The kernel does not notify ordinary users of new processes, so every scan lists the processes. The cost of
// a scan is bounded, however many there are. So is the number of QEMUs of users other than root and the user
// of this process: beyond it they are not found.
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
  [[nodiscard]] bool has_room_for(uid_t owner);

  std::map<pid_t, Known> qemus_;
  std::unordered_map<pid_t, unsigned> others_; ///< number of times that each was checked, up to kEveryTime
  std::size_t next_recheck_ = 0; ///< the position among the older others where the next scan continues
  bool reported_full_ = false;
};

} // namespace vmemfs::qemu
