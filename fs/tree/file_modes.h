// SPDX-License-Identifier: MIT
// Permission bits of the files and directories of a VM, from its rights.
#pragma once

#include "vm/vm_options.h"

#include <sys/types.h>

namespace vmemfs {

inline constexpr mode_t kReadBits = 0444;
inline constexpr mode_t kWriteBits = 0222;

/// Permissions of a file that takes writes.
[[nodiscard]] constexpr mode_t writable_file_mode(const FileRights& rights) {
  return rights.mode & (kReadBits | kWriteBits);
}

[[nodiscard]] constexpr mode_t read_only_file_mode(const FileRights& rights) {
  return rights.mode & kReadBits;
}

/// Users who may read it may write requests to it.
[[nodiscard]] constexpr mode_t read_and_request_mode(const FileRights& rights) {
  const mode_t readers = rights.mode & kReadBits;
  return readers | (readers >> 1U);
}

/// Users who may read the files may list and enter their directory.
[[nodiscard]] constexpr mode_t directory_mode(const FileRights& rights) {
  const mode_t readers = rights.mode & kReadBits;
  return readers | (readers >> 2U);
}

} // namespace vmemfs
