// SPDX-License-Identifier: MIT
// Headers of the file of a mount that is saved: where its memory is.
#pragma once

#include "core/error.h"
#include "fs/save/image/memory_source.h"
#include "fs/save/packed/memory_chunks.h"
#include "image/saved/saved_file.h"
#include "image/saved/saved_image.h"

#include <vector>

namespace vmemfs {

/// The open file of the source, for its headers: they are made when a file is opened, and are those of its
/// memory.
[[nodiscard]] Result<SavedFile> headers_of(const MemorySource& source);

/// All memory that a file of this format has, sorted by address and by offset. Fails unless all of it is in
/// the file.
[[nodiscard]] Result<std::vector<SourceRange>> source_ranges(const SavedFile& file,
                                                             const SavedFormat& format);

} // namespace vmemfs
