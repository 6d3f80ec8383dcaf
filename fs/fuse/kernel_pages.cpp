// SPDX-License-Identifier: MIT
#include "fs/fuse/kernel_pages.h"

namespace vmemfs {

void KernelPages::note_fill(Ino ino, Epoch epoch) {
  const MutexLock lock{mutex_};
  Record& record = records_[ino];
  ++record.fills;
  if (!epoch || !record.is_current(epoch)) {
    record.content = Content::mixed;
  } else if (record.content == Content::none) {
    record.content = Content::of_one_epoch;
    record.epoch = *epoch;
  }
}

bool KernelPages::are_current(Ino ino, Epoch epoch) const {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  return found == records_.end() || found->second.is_current(epoch);
}

/// The kernel waits for pages that were being read when the drop began, and drops them. Those that it began
/// to read later may be there afterwards.
bool KernelPages::drop_stale(Ino ino, Epoch epoch, const std::function<bool()>& drop) {
  std::uint64_t fills = 0;
  {
    const MutexLock lock{mutex_};
    const auto found = records_.find(ino);
    if (found == records_.end() || found->second.is_current(epoch)) {
      return true;
    }
    fills = found->second.fills;
  }
  if (!drop()) {
    return false;
  }
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  if (found != records_.end() && found->second.fills == fills) {
    found->second.content = Content::none;
  }
  return true;
}

void KernelPages::add_reader(Ino ino, std::uint64_t layout) {
  const MutexLock lock{mutex_};
  Record& record = records_[ino];
  ++record.readers[layout];
}

void KernelPages::remove_reader(Ino ino, std::uint64_t layout) {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  if (found == records_.end()) {
    return;
  }
  auto& readers = found->second.readers;
  const auto alike = readers.find(layout);
  if (alike != readers.end() && --alike->second == 0) {
    readers.erase(alike);
  }
}

bool KernelPages::has_readers(Ino ino) const {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  return found != records_.end() && !found->second.readers.empty();
}

bool KernelPages::have_one_layout(Ino ino) const {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  return found != records_.end() && found->second.readers.size() == 1;
}

void KernelPages::add_holder(Ino ino) {
  const MutexLock lock{mutex_};
  ++records_[ino].holders;
}

void KernelPages::remove_holder(Ino ino) {
  const MutexLock lock{mutex_};
  if (const auto found = records_.find(ino); found != records_.end() && found->second.holders > 0) {
    --found->second.holders;
  }
}

timespec KernelPages::report_mtime(Ino ino, timespec now) {
  const MutexLock lock{mutex_};
  Record& record = records_[ino];
  if (!record.mtime || (record.holders == 0 && record.readers.empty())) {
    record.mtime = now;
  }
  return *record.mtime;
}

void KernelPages::forget(Ino ino) {
  const MutexLock lock{mutex_};
  records_.erase(ino);
}

} // namespace vmemfs
