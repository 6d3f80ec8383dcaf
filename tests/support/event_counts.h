// SPDX-License-Identifier: MIT
// Number of the events of each kind that a driver has reported.
#pragma once

#include "driver/driver.h"

#include <array>
#include <atomic>
#include <cstddef>

namespace vmemfs::test {

/// Thread-safe.
class EventCounts final : public VmListener {
public:
  void on_vm_event(VmEvent event) override { ++counts_.at(static_cast<std::size_t>(event)); }

  [[nodiscard]] int of(VmEvent event) const { return counts_.at(static_cast<std::size_t>(event)); }
  [[nodiscard]] bool has(VmEvent event) const { return of(event) > 0; }

private:
  std::array<std::atomic<int>, static_cast<std::size_t>(VmEvent::gone) + 1> counts_{};
};

} // namespace vmemfs::test
