// SPDX-License-Identifier: MIT
#include "vmm/thread_watch.h"

namespace vmemfs {

ThreadWatch::ThreadWatch(pid_t pid) : list_{pid}, end_{list_.end()} {}

bool ThreadWatch::changed() {
  const ThreadList::End before = end_;
  end_ = list_.end();
  return end_ != before;
}

} // namespace vmemfs
