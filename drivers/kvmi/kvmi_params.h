// SPDX-License-Identifier: MIT
// Parameters of the driver `kvmi`, of one VM and of a discovery.
#pragma once

#include "core/error.h"
#include "driver/params.h"
#include "drivers/kvmi/hub/hub.h"
#include "drivers/kvmi/mapping/open_mapping.h"

#include <span>
#include <string>

namespace vmemfs::kvmi {

[[nodiscard]] std::span<const ParamSpec> vm_params();
/// The same without those that concern one VM.
[[nodiscard]] std::span<const ParamSpec> discovery_params();

/// Reads the file of `key`. invalid: both a socket and a port are given, or the key cannot be used.
[[nodiscard]] Result<HubSettings> hub_settings(const Params& params);

/// How pages are mapped.
[[nodiscard]] MappingSettings mapping_settings(const Params& params);

/// The parameters that open a VM which a discovery with `params` has found.
[[nodiscard]] std::string params_of(const Params& params, const std::string& domain);

} // namespace vmemfs::kvmi
