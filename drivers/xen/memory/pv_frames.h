// SPDX-License-Identifier: MIT
// The machine frame of each guest frame of a PV domain.
#pragma once

#include "drivers/xen/memory/foreign_memory.h"
#include "drivers/xen/memory/machine_table.h"
#include "drivers/xen/state/domain_info.h"

#include <string>
#include <vector>

namespace vmemfs::xen {

struct PvFrames {
  std::vector<Frame> machine_frames; ///< by guest frame; Layout::kNoFrame if there is none
  std::string source;                ///< how it was found, as text
};

/// From the guest's own table, with each entry checked against the hypervisor's. If that leaves pages out (a
/// guest that has not run yet, or has a table of another form), from the hypervisor's table alone, which
/// takes longer: each frame of the host has to be tried. The guest is not trusted: frames of others cannot be
/// mapped.
[[nodiscard]] Result<PvFrames> find_pv_frames(xc_interface* control, const ForeignMemory& memory,
                                              const MachineTable& table, const DomainInfo& domain);

} // namespace vmemfs::xen
