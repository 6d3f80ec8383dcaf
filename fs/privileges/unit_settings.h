// SPDX-License-Identifier: MIT
// Settings of a systemd unit that grant vmemfs its privileges.
#pragma once

#include "driver/needs.h"

#include <string>
#include <vector>

namespace vmemfs {

/// Lines KEY=VALUE of the section [Service]: what mounting takes, and `needs` without the network, which
/// packaging/vmemfs.service forbids. systemd adds them to those that a unit has already.
[[nodiscard]] std::vector<std::string> unit_settings(const Needs& needs);

} // namespace vmemfs
