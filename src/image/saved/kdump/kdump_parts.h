// SPDX-License-Identifier: MIT
// Parts of a split kdump file (`makedumpfile --split`), each of which has the pages of a range. They are
// found in the directory of the one that was opened.
#pragma once

#include "image/saved/kdump/kdump_facts.h"
#include "image/saved/kdump/kdump_pages.h"

#include <string>
#include <vector>

namespace vmemfs {

struct KdumpParts {
  std::vector<KdumpPages::Part> parts; ///< sorted, without overlaps
  std::string problem{};               ///< a sentence if pages are of no part that was found
};

/// Parts of the same dump have the same description of the machine, the same notes and the same bitmaps. Of
/// parts that overlap, such as copies, the file itself counts, then the first by name.
[[nodiscard]] KdumpParts find_kdump_parts(const SavedFile& file, const KdumpFacts& facts);

} // namespace vmemfs
