// SPDX-License-Identifier: MIT
// A character device of QEMU, as query-chardev lists it.
#pragma once

#include <string>

namespace vmemfs::qemu {

struct Chardev {
  std::string id;       ///< its label
  std::string filename; ///< what is behind it: "unix:/run/x,server=on", "disconnected:...", ...
};

} // namespace vmemfs::qemu
