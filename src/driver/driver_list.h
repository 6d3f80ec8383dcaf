// SPDX-License-Identifier: MIT
// List of driver types, and the choice of the driver for a spec.
//
// A spec without a driver is tried with each driver in turn, with the parameters of the spec that the
// driver has and, if these do not identify a VM, with the VM's name.
#pragma once

#include "driver/driver_type.h"
#include "driver/vm_spec.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// The driver of that name, or null.
[[nodiscard]] const DriverType* find_driver(DriverList drivers, std::string_view name);

/// Resolves a single word, which may be a driver or a VM: if it is not the name of a driver, it is the name
/// of the VM.
[[nodiscard]] VmSpec resolved(DriverList drivers, VmSpec spec);

/// All errors in driver, parameters and options that can be found before anything is opened; sentences for
/// the user. `option_specs`: the options allowed in VmSpec::options.
[[nodiscard]] std::vector<std::string> problems_of(DriverList drivers, const VmSpec& spec,
                                                   std::span<const ParamSpec> option_specs = {});

/// Opens the VM of `spec`. The error names the problem with driver or parameters and the remedy; if several
/// drivers were tried, the error of each. May wait for a VM or its monitor.
[[nodiscard]] Result<std::unique_ptr<Driver>> open_driver(DriverList drivers, const VmSpec& spec,
                                                          const DriverContext& context);

/// The same for discovery: `spec` has no name, its parameters are DriverType::discovery_params(). Null for
/// `runtimes`: outside of a mount.
[[nodiscard]] Result<std::unique_ptr<Discovery>> open_discovery(DriverList drivers, const VmSpec& spec,
                                                                const DriverRuntimes* runtimes);

/// Needs of a VM or a discovery, of all drivers that open_driver() may try for it; none if `spec` is invalid.
[[nodiscard]] Needs needs_of_vm(DriverList drivers, const VmSpec& spec);
[[nodiscard]] Needs needs_of_discovery(DriverList drivers, const VmSpec& spec);

} // namespace vmemfs
