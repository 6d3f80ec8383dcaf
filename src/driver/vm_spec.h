// A VM as the user names it: after --vm, on an attach line, in the configuration.
//
// [NAME=]DRIVER[:KEY=VALUE,...]   this driver
// NAME=[:KEY=VALUE,...]           whichever driver can: each takes the parameters that it knows
//
// A name, alone, that is no driver's is that of a VM (see resolved() in driver/driver_list.h).
#pragma once

#include "core/error.h"
#include "driver/params.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

struct VmSpec {
  std::string name{};    ///< of its directory; empty: its own, or the driver's
  std::string driver{};  ///< empty: each is tried, then `name` is not
  std::string params{};  ///< of the driver, see driver/param_text.h
  std::string options{}; ///< the same for what the mount, not the driver, does differently for this VM
};

struct ParsedVmSpec {
  VmSpec spec;
  std::vector<std::string> problems; ///< of the form alone; sentences for the user
};

/// Keys that `option_specs` has become options, all others parameters.
[[nodiscard]] ParsedVmSpec read_vm_spec(std::string_view text, std::span<const ParamSpec> option_specs = {});

/// The same where all problems make one error.
[[nodiscard]] Result<VmSpec> parse_vm_spec(std::string_view text);

} // namespace vmemfs
