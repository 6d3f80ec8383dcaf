// The drivers that were compiled in: the only way from the daemon to a concrete driver.
#pragma once

#include "driver/driver_type.h"

#include <memory>
#include <span>
#include <string>

namespace vmemfs {

/// In the order in which they are tried and listed: where several find the same VM, the first has it.
[[nodiscard]] std::span<const DriverType* const> all_drivers();

/// Opens what a VmSpec names. The error says what is wrong with driver or parameters and what helps.
[[nodiscard]] Result<std::unique_ptr<Driver>> open_driver(const VmSpec& spec, const DriverContext& context);

/// What finds VMs by itself, as `DRIVER[:KEY=VALUE,...]` wants it. The error says what is wrong.
[[nodiscard]] Result<std::unique_ptr<Discovery>> open_discovery(const VmSpec& spec);

/// Whether this VM, or what this discovery finds, is reached over the network.
[[nodiscard]] bool vm_needs_network(const VmSpec& vm);
[[nodiscard]] bool discovery_needs_network(const VmSpec& discovery);

} // namespace vmemfs
