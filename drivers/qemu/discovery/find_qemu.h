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
  std::vector<std::string> monitor_paths; ///< addresses (qmp_address.h), in the order in which they are tried
  /// Why others are not used, or why there is none; not empty if `monitor_paths` is.
  std::string no_monitor;
  bool named_monitor = false; ///< by the user, who expects it to work
};

/// The QEMU that `qmp`, `pid` or `name` in `params` refer to. If several are given, they must agree.
[[nodiscard]] Result<FoundQemu> find_qemu(const Params& params);

} // namespace vmemfs::qemu
