// SPDX-License-Identifier: MIT
// The conversion of libvirt's domain states to RunStatus. Pure, thread-safe.
#pragma once

#include "driver/driver.h"

namespace vmemfs::libvirt {

/// For the results of virDomainGetState().
[[nodiscard]] RunStatus status_of(int state, int reason);

} // namespace vmemfs::libvirt
