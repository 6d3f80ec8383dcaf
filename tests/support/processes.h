// SPDX-License-Identifier: MIT
// Processes for tests.
#pragma once

#include "host/process.h"

#include <memory>
#include <sys/types.h>

namespace vmemfs {

/// Throws if there is none.
[[nodiscard]] inline std::shared_ptr<const Process> process_of(pid_t pid) {
  return std::make_shared<const Process>(Process::open(pid).value());
}

} // namespace vmemfs
