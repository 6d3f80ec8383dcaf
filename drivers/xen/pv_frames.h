// SPDX-License-Identifier: MIT
// Which machine frame is behind each guest frame of a PV domain.
#pragma once

#include "drivers/xen/domain_info.h"
#include "drivers/xen/foreign_memory.h"
#include "drivers/xen/machine_table.h"

#include <string>
#include <vector>

namespace vmemfs::xen {

struct PvFrames {
  std::vector<Frame> machine_frames; ///< by guest frame; Layout::kNoFrame where there is none
  std::string source;                ///< how it was found, in words
};

/// By the guest's own table, each entry held against the hypervisor's; where that leaves pages out (a guest
/// that has not run yet, or keeps its table in a way of its own) by the hypervisor's table alone, which takes
/// longer: each frame of the host has to be tried. The guest is trusted in nothing: what is not its own can't
/// be mapped.
[[nodiscard]] Result<PvFrames> find_pv_frames(xc_interface* control, const ForeignMemory& memory,
                                              const MachineTable& table, const DomainInfo& domain);

} // namespace vmemfs::xen
