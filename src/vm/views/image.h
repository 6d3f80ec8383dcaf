// SPDX-License-Identifier: MIT
// A guest's memory as an image of one format: where everything lies, and the bytes that the format adds.
#pragma once

#include "image/image_layout.h"
#include "vm/guest.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace vmemfs {

struct Image {
  ImageLayout layout;
  /// Makes the bytes that are not the guest's, as many as the layout has. May wait for the VM.
  std::function<std::vector<std::byte>(Guest&)> make;
};

/// A format of images. Literals.
struct ImageFormat {
  /// Lays the guest's memory out as it is now. Waits for nobody.
  Image (*lay_out)(Guest& guest);
  /// The size that lay_out() would give.
  std::uint64_t (*bytes)(Guest& guest);
};

/// LiME, version 1, with all memory below the end of main memory.
[[nodiscard]] const ImageFormat& lime_format();

/// ELF core with physical addresses, and notes with the registers of each vCPU if they can be read.
[[nodiscard]] const ImageFormat& core_format();

} // namespace vmemfs
