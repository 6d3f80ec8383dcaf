// SPDX-License-Identifier: MIT
// Going to the background: the caller waits until the mount is there or has failed.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <optional>

namespace vmemfs {

class Background {
public:
  /// Forks. In the caller's process it waits for the child and returns the exit code to end with; in
  /// the child it returns nothing, and ready() must follow. Call before any thread is made.
  std::optional<int> fork_and_wait();

  /// In the child: the mount is there. Lets the caller end; standard streams go to /dev/null.
  void ready();

private:
  UniqueFd to_parent_;
};

} // namespace vmemfs
