// SPDX-License-Identifier: MIT
// The guard of one VM: armed while a pause of it must end with this process.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "vm/state/pause_guard.h"

#include <cstdint>
#include <string>
#include <utility>

namespace vmemfs {

/// Not thread-safe. A guard that is still armed stays so: only end() disarms it.
class GuardLease {
public:
  /// `guard` may be null: then nothing is guarded. `vm`: its number there. Both outlive this object.
  GuardLease(PauseGuard* guard, std::uint32_t vm, const Driver& driver)
      : guard_{guard}, vm_{vm}, driver_{driver} {}

  [[nodiscard]] Result<void> arm(const RunControl& control) {
    const std::string ticket = control.resume_ticket();
    if (guard_ == nullptr || ticket.empty()) {
      return {};
    }
    auto armed = guard_->arm(vm_, driver_.identity().driver, ticket);
    armed_ = armed_ || armed.has_value();
    return armed;
  }

  void end() {
    if (std::exchange(armed_, false)) {
      guard_->disarm(vm_);
    }
  }

private:
  PauseGuard* const guard_;
  const std::uint32_t vm_;
  const Driver& driver_;
  bool armed_ = false;
};

} // namespace vmemfs
