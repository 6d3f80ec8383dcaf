// SPDX-License-Identifier: MIT
// All formats of saved memory.
#pragma once

#include "image/saved/saved_image.h"

#include <span>
#include <string_view>

namespace vmemfs {

/// In the order in which they are tried; raw, which takes any file, is the last.
[[nodiscard]] std::span<const SavedFormat* const> saved_formats();

/// As a `format`: any but raw, by content.
inline constexpr std::string_view kKnownFormat = "known";

/// `format`: a name, or empty for the first one that matches, or kKnownFormat.
[[nodiscard]] Result<SavedImage> open_image(const SavedFile& file, std::string_view format);

} // namespace vmemfs
