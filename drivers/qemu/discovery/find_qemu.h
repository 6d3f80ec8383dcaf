// SPDX-License-Identifier: MIT
// Lookup of the QEMU process that the parameters name: by monitor socket, pid or name.
#pragma once

#include "core/error.h"
#include "driver/params.h"
#include "drivers/qemu/discovery/command_line.h"
#include "host/process.h"

#include <memory>
#include <string>
#include <vector>

namespace vmemfs::qemu {

struct FoundQemu {
  std::shared_ptr<const Process> process;
  QemuCommandLine command_line;
  std::vector<std::string> monitor_paths; ///< in the order in which they are tried
  std::string no_monitor;                 ///< the reason why `monitor_paths` is empty, if it is
};

/// The QEMU that `qmp`, `pid` or `name` in `params` refer to. If several are given, they must agree.
[[nodiscard]] Result<FoundQemu> find_qemu(const Params& params);

} // namespace vmemfs::qemu
