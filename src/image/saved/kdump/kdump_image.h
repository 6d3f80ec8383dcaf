// SPDX-License-Identifier: MIT
// kdump-compressed files ("diskdump"), plain and flattened, of little-endian machines, also split: of
// makedumpfile and of QEMU's dump-guest-memory with kdump-zlib. Format: makedumpfile's IMPLEMENTATION and
// diskdump_mod.h.
#pragma once

#include "image/saved/saved_image.h"

namespace vmemfs {

[[nodiscard]] const SavedFormat& kdump_image_format();

} // namespace vmemfs
