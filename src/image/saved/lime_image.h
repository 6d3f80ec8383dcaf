// SPDX-License-Identifier: MIT
// LiME images, version 1, which AVML writes too: a header before each range. Format: LiME's
// doc/README.md, "LiME Memory Range Header Version 1 Specification".
#pragma once

#include "image/saved/saved_image.h"

namespace vmemfs {

[[nodiscard]] const SavedFormat& lime_image_format();

} // namespace vmemfs
