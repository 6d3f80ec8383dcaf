// SPDX-License-Identifier: MIT
// libvirt's states of a domain as ours. Pure, thread-safe.
#pragma once

#include "driver/driver.h"

namespace vmemfs::libvirt {

/// Of virDomainGetState().
[[nodiscard]] RunStatus status_of(int state, int reason);

} // namespace vmemfs::libvirt
