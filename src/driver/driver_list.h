// Several kinds of driver, and which of them is meant.
//
// A spec without a driver is tried with each driver in turn, by the parameters of the spec that the driver
// has and, where these do not say which VM, by the VM's name.
#pragma once

#include "driver/driver_type.h"
#include "driver/vm_spec.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

using DriverList = std::span<const DriverType* const>;

/// Null where there is none of that name.
[[nodiscard]] const DriverType* find_driver(DriverList drivers, std::string_view name);

/// A lone word may be a driver or a VM; where it is no driver's name it becomes the VM's.
[[nodiscard]] VmSpec resolved(DriverList drivers, VmSpec spec);

/// All that can be told to be wrong with driver, parameters and options before anything is opened; sentences
/// for the user. `option_specs` is what VmSpec::options may have.
[[nodiscard]] std::vector<std::string> problems_of(DriverList drivers, const VmSpec& spec,
                                                   std::span<const ParamSpec> option_specs = {});

/// Opens what `spec` names. The error says what is wrong with driver or parameters and what helps; where
/// several drivers were tried, what each of them says. May wait for a VM or its monitor.
[[nodiscard]] Result<std::unique_ptr<Driver>> open_driver(DriverList drivers, const VmSpec& spec,
                                                          const DriverContext& context);

/// The same for who looks for VMs: `spec` has no name, its parameters are DriverType::discovery_params().
[[nodiscard]] Result<std::unique_ptr<Discovery>> open_discovery(DriverList drivers, const VmSpec& spec);

/// Whether the network is needed for what `spec` says; not where something is wrong with it.
[[nodiscard]] bool vm_needs_network(DriverList drivers, const VmSpec& spec);
[[nodiscard]] bool discovery_needs_network(DriverList drivers, const VmSpec& spec);

} // namespace vmemfs
