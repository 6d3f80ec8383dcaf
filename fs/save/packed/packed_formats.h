// SPDX-License-Identifier: MIT
// Formats whose memory is packed, by their names.
#pragma once

#include "core/error.h"
#include "fs/save/image/memory_source.h"
#include "fs/save/packed/image_writer.h"
#include "fs/save/packed/memory_chunks.h"
#include "fs/save/save_options.h"

#include <memory>
#include <string>

namespace vmemfs {

struct PackedOutput {
  int fd; ///< not owned; its position is the begin
  std::string name;
  bool is_file; ///< can be written at any place, and read
};

struct PackedImage {
  MemoryChunks chunks;
  std::unique_ptr<ImageWriter> writer;
};

/// What `source`, which is the file of the VM's directory of this format, is to be packed as. Nothing is
/// written yet. invalid: it is not a packed format.
[[nodiscard]] Result<PackedImage> make_packed_image(SaveFormat format, const MemorySource& source,
                                                    const PackedOutput& output);

} // namespace vmemfs
