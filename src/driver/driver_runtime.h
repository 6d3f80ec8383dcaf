// SPDX-License-Identifier: MIT
// State that all VMs of a driver type share within one mount, such as connections or a loaded program.
#pragma once

namespace vmemfs {

/// Made by DriverType::make_runtime(), owned by the mount, and shared with each driver and discovery that
/// uses it. Thread-safe.
class DriverRuntime {
public:
  DriverRuntime() = default;
  DriverRuntime(const DriverRuntime&) = delete;
  DriverRuntime& operator=(const DriverRuntime&) = delete;
  virtual ~DriverRuntime() = default;
};

} // namespace vmemfs
