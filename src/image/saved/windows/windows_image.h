// SPDX-License-Identifier: MIT
// Crash dumps of 64-bit Windows: complete, kernel and active memory; with runs of pages or a bitmap.
//
// Format: DUMP_HEADER64, as in ReactOS' sdk/include/psdk/wdm.h and QEMU's include/qemu/win_dump_defs.h; the
// headers of bitmaps as kdmp-parser (src/lib/kdmp-parser-structs.h) describes them.
#pragma once

#include "image/saved/saved_image.h"

namespace vmemfs {

[[nodiscard]] const SavedFormat& windows_image_format();

} // namespace vmemfs
