// SPDX-License-Identifier: MIT
// Mounts whose requests come by io_uring.
#pragma once

#include "support/files.h"
#include "util/unique_fd.h"

#include <optional>
#include <string>

namespace vmemfs::test {

/// Why the kernel cannot offer it: it is too old, or its settings are not this user's. nullopt: it can.
[[nodiscard]] std::optional<std::string> why_no_io_uring();

/// The kernel offers it to mounts that begin meanwhile, those of other tests too. One at a time on the host.
/// Throws where it cannot.
class IoUringOffered {
public:
  IoUringOffered();
  ~IoUringOffered();
  IoUringOffered(const IoUringOffered&) = delete;
  IoUringOffered& operator=(const IoUringOffered&) = delete;

private:
  UniqueFd lock_;
  std::string before_;
};

/// True where all mounts of this process are to use it: VMEMFS_TEST_IO_URING is set, and the kernel can.
[[nodiscard]] bool wants_io_uring();

} // namespace vmemfs::test
