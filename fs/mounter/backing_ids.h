// SPDX-License-Identifier: MIT
// The interface of backing ids: files that the kernel has been given for passthrough, of one mount.
#pragma once

#include "core/error.h"

#include <cstdint>

namespace vmemfs {

/// Thread-safe. Each call takes a second at most.
class BackingIds {
public:
  BackingIds() = default;
  BackingIds(const BackingIds&) = delete;
  BackingIds& operator=(const BackingIds&) = delete;
  virtual ~BackingIds() = default;

  /// Gives the kernel a regular file that is open for reading and writing. Returns its id, which is positive
  /// and valid until close(). permission: it takes CAP_SYS_ADMIN.
  [[nodiscard]] virtual Result<std::int32_t> open(int file) = 0;
  /// Files that were opened by the id keep their backing file.
  virtual void close(std::int32_t id) = 0;
};

} // namespace vmemfs
