// SPDX-License-Identifier: MIT
// Specification of a VM by the user: after --vm, on an attach line, in the configuration.
//
// [NAME=]DRIVER[:KEY=VALUE,...]   this driver
// NAME=[:KEY=VALUE,...]           any suitable driver: each takes the parameters that it knows
//
// A single word that is not the name of a driver is the name of a VM (see resolved() in
// driver/driver_list.h).
#pragma once

#include "core/error.h"
#include "driver/params.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

struct VmSpec {
  std::string name{};    ///< of its directory; empty: the VM's own, or the driver's
  std::string driver{};  ///< empty: each is tried; `name` is not empty then
  std::string params{};  ///< for the driver, see driver/param_text.h
  std::string options{}; ///< the same for settings of the mount for this VM
};

struct ParsedVmSpec {
  VmSpec spec;
  std::vector<std::string> problems; ///< of syntax only; sentences for the user
};

/// Keys in `option_specs` become options, all others parameters.
[[nodiscard]] ParsedVmSpec read_vm_spec(std::string_view text, std::span<const ParamSpec> option_specs = {});

/// The same, with all problems in one error.
[[nodiscard]] Result<VmSpec> parse_vm_spec(std::string_view text);

} // namespace vmemfs
