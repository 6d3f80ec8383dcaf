// SPDX-License-Identifier: MIT
// Start in the background: the calling process waits until the mount is ready or has failed.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <optional>

namespace vmemfs {

class Background {
public:
  /// Forks. In the calling process it waits for the child and returns the exit code to end with; in the child
  /// it returns nothing, and ready() must follow. Call before any thread is created.
  std::optional<int> fork_and_wait();

  /// Called in the child when the mount is ready. The calling process then ends; standard streams are
  /// redirected to /dev/null.
  void ready();

private:
  UniqueFd to_parent_;
};

} // namespace vmemfs
