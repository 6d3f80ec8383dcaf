// SPDX-License-Identifier: MIT
// Raw images: offsets in the file are guest physical addresses, as QEMU's pmemsave writes them.
#pragma once

#include "image/saved/saved_image.h"

namespace vmemfs {

[[nodiscard]] const SavedFormat& raw_image_format();

} // namespace vmemfs
