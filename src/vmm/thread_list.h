// SPDX-License-Identifier: MIT
// The numbers of the threads of a process, as the kernel lists them: in the order of their begin.
#pragma once

#include "util/unique_fd.h"

#include <cstddef>
#include <sys/types.h>
#include <vector>

namespace vmemfs {

/// Not thread-safe. Holds one descriptor, which refers to this process even if its number is reused.
class ThreadList {
public:
  explicit ThreadList(pid_t pid);

  /// At most `limit` of them, the first thread first. A process that has ended has none. Costs a microsecond,
  /// and half of one more per thread.
  [[nodiscard]] std::vector<pid_t> read(std::size_t limit) const;

  /// How many there are, and the newest. If both are as before, none has begun since that still exists, and
  /// none has ended: all that begin come after the newest.
  struct End {
    std::size_t count = 0;
    pid_t newest = 0;
    friend bool operator==(const End&, const End&) = default;
  };
  /// A microsecond, however many there are.
  [[nodiscard]] End end() const;

private:
  [[nodiscard]] std::vector<pid_t> read_from(std::size_t index, std::size_t limit) const;

  UniqueFd directory_;
};

} // namespace vmemfs
