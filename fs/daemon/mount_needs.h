// SPDX-License-Identifier: MIT
// Needs of a mount: those of every driver that it may come to use.
#pragma once

#include "driver/needs.h"
#include "fs/config/mount_options.h"

namespace vmemfs {

/// The needs of all drivers that work on this host, because a VM of any of them may be attached at any time;
/// but the network only if the default discovery, or a VM or discovery that the options name, is reached over
/// it.
[[nodiscard]] Needs mount_needs(const MountOptions& options);

} // namespace vmemfs
