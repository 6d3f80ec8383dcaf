// SPDX-License-Identifier: MIT
// The threads of a VMM's process: a hint that vCPUs were plugged in or unplugged, without querying it.
//
// A vCPU has a thread of its own under KVM and under TCG, unless QEMU emulates all vCPUs in one thread
// (thread=single). Other threads come and go as well, so a change says only that querying is worth it.
#pragma once

#include "vmm/thread_list.h"

#include <sys/types.h>

namespace vmemfs {

/// Not thread-safe: of one thread, once it is constructed. Holds one descriptor.
class ThreadWatch {
public:
  /// Takes the first list. A process that has ended has no threads.
  explicit ThreadWatch(pid_t pid);

  /// True if threads have begun or ended since the last call, at first since construction. Costs
  /// about a microsecond.
  [[nodiscard]] bool changed();

private:
  ThreadList list_;
  ThreadList::End end_;
};

} // namespace vmemfs
