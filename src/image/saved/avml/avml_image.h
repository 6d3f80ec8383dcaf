// SPDX-License-Identifier: MIT
// Compressed AVML images, version 2: a header before each range, then a snappy stream, then its length.
// Formats: AVML's src/image.rs, and snappy's framing_format.txt. What AVML writes without compression is
// LiME.
#pragma once

#include "image/saved/saved_image.h"

namespace vmemfs {

[[nodiscard]] const SavedFormat& avml_image_format();

} // namespace vmemfs
