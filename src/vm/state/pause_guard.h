// SPDX-License-Identifier: MIT
// Guard that resumes paused VMs if this process is killed.
#pragma once

#include "core/error.h"

#include <cstdint>
#include <string_view>

namespace vmemfs {

/// Thread-safe.
class PauseGuard {
public:
  PauseGuard() = default;
  PauseGuard(const PauseGuard&) = delete;
  PauseGuard& operator=(const PauseGuard&) = delete;
  virtual ~PauseGuard() = default;

  /// After this returns and until disarm(), the VM runs again within two seconds after this process ends
  /// in any way. `vm` is a number chosen by the caller; `driver` and `ticket`:
  /// RunControl::resume_ticket().
  [[nodiscard]] virtual Result<void> arm(std::uint32_t vm, std::string_view driver,
                                         std::string_view ticket) = 0;
  virtual void disarm(std::uint32_t vm) = 0;
};

} // namespace vmemfs
