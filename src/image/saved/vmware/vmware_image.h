// SPDX-License-Identifier: MIT
// Memory that VMware saved: a state file (.vmss of a suspended VM, .vmsn of a snapshot) that has the memory
// in it, as ESXi wrote it, or in a .vmem of the same base name beside it, as Workstation and Fusion do.
// Either file of such a pair is taken for both.
//
// Format: see vmware_tags.h and vmware_state.h.
#pragma once

#include "image/saved/saved_image.h"

namespace vmemfs {

/// Takes state files by their content, and memory by its name: a .vmem has nothing but memory, and what is in
/// it is the guest's.
[[nodiscard]] const SavedFormat& vmware_image_format();

/// The image of a state file whose memory is in another one.
[[nodiscard]] Result<SavedImage> open_vmware_pair(const SavedFile& state, const SavedFile& memory);

} // namespace vmemfs
