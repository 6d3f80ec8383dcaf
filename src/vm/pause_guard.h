// What keeps a VM from standing for ever should this process be killed while it has paused it.
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

  /// From when this returns, the VM runs again within two seconds should this process end in whatever way,
  /// until disarm(). `vm` is a number of the caller's; `driver` and `ticket`: RunControl::resume_ticket().
  [[nodiscard]] virtual Result<void> arm(std::uint32_t vm, std::string_view driver,
                                         std::string_view ticket) = 0;
  virtual void disarm(std::uint32_t vm) = 0;
};

} // namespace vmemfs
