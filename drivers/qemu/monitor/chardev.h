// SPDX-License-Identifier: MIT
// A character device of QEMU, as query-chardev lists it.
#pragma once

#include <string>

namespace vmemfs::qemu {

struct Chardev {
  std::string id;       ///< label
  std::string filename; ///< backend, such as "unix:/run/x,server=on" or "disconnected:..."
};

} // namespace vmemfs::qemu
