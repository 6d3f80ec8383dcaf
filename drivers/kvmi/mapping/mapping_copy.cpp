// SPDX-License-Identifier: MIT
#include "drivers/kvmi/mapping/mapping_copy.h"

#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace vmemfs::kvmi {

bool copy_from_mapping(const std::byte* from, std::span<std::byte> into) {
  const iovec local{into.data(), into.size()};
  const iovec remote{const_cast<std::byte*>(from), into.size()};
  return ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(into.size());
}

} // namespace vmemfs::kvmi
