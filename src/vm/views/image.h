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

/// The bytes of an image that are not the guest's.
struct ImageBytes {
  std::vector<std::byte> bytes; ///< as many as the layout has
  /// As long as the guest does not change they would be the same, made again: nothing failed, and nothing was
  /// searched for that may be found later.
  bool settled;
};

struct Image {
  ImageLayout layout;
  /// May wait for the VM.
  std::function<ImageBytes(Guest&)> make;
};

/// A format of images. Literals.
struct ImageFormat {
  /// Lays the guest's memory out as it is now. Waits for nobody.
  Image (*lay_out)(Guest& guest);
  /// The size that lay_out() would give.
  std::uint64_t (*bytes)(Guest& guest);
  /// The bytes that are not the guest's follow from the layout alone.
  bool always_settled = false;
};

/// LiME, version 1, with all memory below the end of main memory.
[[nodiscard]] const ImageFormat& lime_format();

/// ELF core with physical addresses, and notes with the registers of each vCPU if they can be read.
[[nodiscard]] const ImageFormat& core_format();

} // namespace vmemfs
