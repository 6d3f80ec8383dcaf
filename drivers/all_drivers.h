// SPDX-License-Identifier: MIT
// The drivers that were compiled in: the only way from the daemon to a concrete driver.
#pragma once

#include "driver/driver_list.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// In the order of preference, which drivers/CMakeLists.txt has: if several find the same VM, the first has
/// it.
[[nodiscard]] std::span<const DriverType* const> all_drivers();

/// A driver that vmemfs knows of and that was not compiled in.
struct AbsentDriver {
  std::string_view name;
  std::string_view reaches;
  std::string_view package; ///< what Debian calls that which the build lacked
};
[[nodiscard]] std::vector<AbsentDriver> absent_drivers();

/// Everything that is found to be wrong with driver and parameters before anything is opened; see
/// driver/driver_list.h.
[[nodiscard]] std::vector<std::string> problems_of(const VmSpec& spec,
                                                   std::span<const ParamSpec> option_specs = {});

/// Opens what a VmSpec names, with one of all_drivers(); see driver/driver_list.h.
[[nodiscard]] Result<std::unique_ptr<Driver>> open_driver(const VmSpec& spec, const DriverContext& context);

/// What finds VMs by itself, as `DRIVER[:KEY=VALUE,...]` wants it. The error says what is wrong. Null for
/// `runtimes`: outside of a mount.
[[nodiscard]] Result<std::unique_ptr<Discovery>> open_discovery(const VmSpec& spec,
                                                                const DriverRuntimes* runtimes);

} // namespace vmemfs
