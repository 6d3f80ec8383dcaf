// SPDX-License-Identifier: MIT
// Which QEMU the user means: by monitor socket, by pid or by name.
#pragma once

#include "core/error.h"
#include "driver/params.h"
#include "drivers/qemu/command_line.h"
#include "host/process.h"

#include <memory>
#include <string>
#include <vector>

namespace vmemfs::qemu {

struct FoundQemu {
  std::shared_ptr<const Process> process;
  QemuCommandLine command_line;
  std::vector<std::string> monitor_paths; ///< to be tried in this order
  std::string no_monitor;                 ///< why there is none, where there is none
};

/// The QEMU that `qmp`, `pid` or `name` in `params` stand for. Where several are given they must agree.
[[nodiscard]] Result<FoundQemu> find_qemu(const Params& params);

} // namespace vmemfs::qemu
