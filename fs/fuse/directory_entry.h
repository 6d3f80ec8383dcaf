// SPDX-License-Identifier: MIT
// One entry of a directory's listing.
#pragma once

#include "fs/fuse/node_id.h"

#include <string>

namespace vmemfs {

struct DirectoryEntry {
  std::string name;
  NodeId node;
};

} // namespace vmemfs
