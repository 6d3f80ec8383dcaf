// SPDX-License-Identifier: MIT
#include "fs/fuse/kernel_pages.h"

#include "core/gpa.h"

#include <algorithm>

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

std::uint64_t KernelPages::fills(Ino ino) const {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  return found != records_.end() ? found->second.fills : 0;
}

/// The kernel waits for pages that were being read when the drop began, and drops them. Those that it began
/// to read later may be there afterwards.
void KernelPages::note_dropped(Ino ino, std::uint64_t fills) {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  if (found != records_.end() && found->second.fills == fills) {
    found->second.content = Content::none;
  }
}

bool KernelPages::drop_stale(Ino ino, Epoch epoch, const std::function<bool()>& drop) {
  const std::uint64_t before = fills(ino);
  if (are_current(ino, epoch)) {
    return true;
  }
  if (!drop()) {
    return false;
  }
  note_dropped(ino, before);
  return true;
}

void KernelPages::drop_all(Ino ino, const std::function<void()>& drop) {
  const std::uint64_t before = fills(ino);
  drop();
  note_dropped(ino, before);
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

bool KernelPages::is_only_layout(Ino ino, std::uint64_t layout) const {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  return found == records_.end() || std::ranges::all_of(found->second.readers, [layout](const auto& alike) {
           return alike.first == layout;
         });
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
  if (!record.mtime || !record.is_open()) {
    record.mtime = now;
  }
  return *record.mtime;
}

KernelPages::SizeChange KernelPages::report_size(Ino ino, std::uint64_t& size) {
  const MutexLock lock{mutex_};
  Record& record = records_[ino];
  const std::uint64_t before = record.size.value_or(size);
  const std::uint64_t border = (before + kPageSize - 1) / kPageSize * kPageSize;
  // A page of which the kernel is given the first byte counts as complete.
  const bool is_new_end = size > border && size % kPageSize != 1;
  if (size != before && !is_new_end && record.is_open()) {
    size = before;
    return SizeChange::held;
  }
  record.size = size;
  return size == before ? SizeChange::none : is_new_end ? SizeChange::new_end : SizeChange::reported;
}

void KernelPages::forget(Ino ino) {
  const MutexLock lock{mutex_};
  const auto found = records_.find(ino);
  if (found != records_.end() && !found->second.is_open()) {
    records_.erase(found);
  }
}

} // namespace vmemfs
