// SPDX-License-Identifier: MIT
#include "fs/fuse/operations.h"
#include "util/log.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

std::function<bool(const VmRequests*)> only(std::shared_ptr<const VmRequests> memory) {
  return [memory = std::move(memory)](const VmRequests* requests) { return requests == memory.get(); };
}

} // namespace

Result<FileSystem::Kept> FileSystem::keep(Share share, Opened opened, std::shared_ptr<OpenFile> file) {
  auto kept = std::make_shared<OpenHandle>();
  kept->file = std::move(file);
  kept->memory = opened.guest_memory;
  kept->writes_at_once = share.memory && !opened.guest_memory;
  kept->ino = opened.ino;
  kept->reads_and_writes = (opened.flags & O_ACCMODE) == O_RDWR;
  const auto handle = reinterpret_cast<std::uint64_t>(kept.get());
  const MutexLock lock{mutex_};
  const auto found = uses_.find(opened.ino);
  const Uses others = found != uses_.end() ? found->second : Uses{};
  if (init_extension_.shared_mappings() && kept->memory) {
    if (kept->reads_and_writes && others.mapped > 0) {
      return fail(
          ErrorKind::busy, "fs",
          "cannot open this file of memory for reading and writing: somebody has it mapped, or has had "
          "it open since a pause; open it for writing only, or close it there first");
    }
    opened.cached &= others.reading_and_writing == 0;
  }
  opened.cached &= kernel_pages_.is_only_layout(opened.ino, kept->file->page_layout());
  if (opened.cached) {
    kept->cached = true;
    kept->mapped = true;
    kernel_pages_.add_reader(opened.ino, kept->file->page_layout());
  }
  if (kept->memory) {
    kernel_pages_.add_holder(opened.ino);
    uses_[opened.ino] = {others.open + 1, others.reading_and_writing + (kept->reads_and_writes ? 1 : 0),
                         others.mapped + (kept->mapped ? 1 : 0)};
  }
  if (share.vm != Node::kMountNode) {
    kept->requests = requests_of(share);
    ++files_of_vms_;
  }
  open_files_.emplace(handle, std::move(kept));
  return Kept{handle, opened.cached};
}

bool FileSystem::can_cache(const Opened& opened, OpenFile& file) {
  return !caching_ended_ && (opened.flags & (O_ACCMODE | O_DIRECT)) == O_RDONLY && file.wants_page_cache() &&
         drop_stale_pages(opened.ino, file.page_cache_epoch());
}

bool FileSystem::drop_stale_pages(Ino ino, KernelPages::Epoch epoch) {
  return kernel_pages_.drop_stale(
      ino, epoch, [this, ino] { return drop_pages(tree_.vm(ino), [this, ino] { drop_pages_of_(ino); }); });
}

/// If the epoch ends meanwhile, the attributes are invalidated, and the kernel ignores this answer: it is of
/// a request from before.
std::optional<double> FileSystem::check_pages(OpenHandle& handle) {
  constexpr double kStableValidSeconds = 1.0;
  constexpr double kNotValid = 0.0;
  const auto epoch = handle.file->page_cache_epoch();
  if (!drop_stale_pages(handle.ino, epoch)) {
    return std::nullopt;
  }
  return epoch ? kStableValidSeconds : kNotValid;
}

/// The page is noted before caching is looked at, and end_caching() comes before the pages that are noted are
/// dropped: one of both is seen.
bool FileSystem::note_fill(OpenHandle& handle) {
  kernel_pages_.note_fill(handle.ino, handle.file->page_cache_epoch());
  return !caching_ended_ && kernel_pages_.is_only_layout(handle.ino, handle.file->page_layout());
}

// Pages that the kernel has from before are no danger: it drops them when it maps a file. It reports the end
// of an open file some time after close(2) has returned.
bool FileSystem::may_map(OpenHandle& handle) {
  constexpr int kTries = 10;
  constexpr std::chrono::milliseconds kBetweenTries{10};
  if (!init_extension_.shared_mappings() || !handle.memory || handle.mapped) {
    return true;
  }
  for (int i = 1;; ++i) {
    {
      const MutexLock lock{mutex_};
      // The kernel may have closed it meanwhile.
      const bool open = open_files_.contains(reinterpret_cast<std::uint64_t>(&handle));
      const auto uses = uses_.find(handle.ino);
      if (open && !handle.mapped && uses->second.reading_and_writing == 0) {
        ++uses->second.mapped;
        handle.mapped = true;
      }
    }
    if (handle.mapped || i == kTries) {
      return handle.mapped;
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
}

std::shared_ptr<VmRequests> FileSystem::requests(Share share) {
  const MutexLock lock{mutex_};
  return requests_of(share);
}

std::shared_ptr<VmRequests> FileSystem::requests_of(Share share) {
  auto requests = requests_[share].lock();
  if (requests == nullptr) {
    if (requests_.size() >= max_requests_) {
      std::erase_if(requests_, [](const auto& entry) { return entry.second.expired(); });
      max_requests_ = std::max(max_requests_, 2 * requests_.size());
    }
    requests = std::make_shared<VmRequests>(table_, threads_);
    requests_[share] = requests;
  }
  return requests;
}

/// Closing a file may wait for its VM, as when that ends a hold.
void FileSystem::close(std::uint64_t handle) {
  std::shared_ptr<OpenHandle> opened;
  std::function<void()> unused;
  {
    const MutexLock lock{mutex_};
    const auto found = open_files_.find(handle);
    if (found != open_files_.end()) {
      opened = std::move(found->second);
      open_files_.erase(found);
      forget_uses(*opened);
    }
    if (is_unused()) {
      unused = std::exchange(unused_, nullptr);
    }
  }
  if (opened != nullptr && opened->cached) {
    kernel_pages_.remove_reader(opened->ino, opened->file->page_layout());
  }
  if (opened != nullptr && opened->memory) {
    kernel_pages_.remove_holder(opened->ino);
  }
  if (const auto requests = opened != nullptr ? opened->requests : nullptr) {
    try {
      // With the last reference: a thread may still work on a request that was given up.
      requests->carry_out([last = std::move(opened)]() mutable { last.reset(); });
    } catch (const std::bad_alloc&) { // then it was closed here
      log::debug("a file is closed without a queue: out of memory");
    }
  }
  if (unused) {
    unused();
  }
}

void FileSystem::forget_uses(const OpenHandle& closed) {
  files_of_vms_ -= closed.requests != nullptr ? 1 : 0;
  const auto uses = uses_.find(closed.ino);
  if (!closed.memory || uses == uses_.end()) {
    return;
  }
  uses->second.reading_and_writing -= closed.reads_and_writes ? 1 : 0;
  uses->second.mapped -= closed.mapped ? 1 : 0;
  if (--uses->second.open == 0) {
    uses_.erase(uses);
  }
}

void FileSystem::when_unused(std::function<void()> unused) {
  {
    const MutexLock lock{mutex_};
    if (!is_unused()) {
      unused_ = std::move(unused);
      return;
    }
  }
  unused();
}

void FileSystem::end_requests(VmId vm) {
  std::vector<std::shared_ptr<VmRequests>> ended;
  {
    const MutexLock lock{mutex_};
    for (const bool memory : {false, true}) {
      const auto found = requests_.find({vm, memory});
      if (auto requests = found != requests_.end() ? found->second.lock() : nullptr) {
        ended.push_back(std::move(requests));
      }
    }
  }
  for (const auto& requests : ended) {
    requests->end();
  }
}

std::shared_ptr<const VmRequests> FileSystem::memory_requests(VmId vm) const {
  const MutexLock lock{mutex_};
  const auto found = requests_.find({vm, true});
  return found != requests_.end() ? found->second.lock() : nullptr;
}

bool FileSystem::drop_pages(VmId vm, const std::function<void()>& drop) {
  constexpr std::chrono::milliseconds kLong{50};
  const auto memory = memory_requests(vm);
  if (memory != nullptr && table_.is_page_awaited(only(memory), kLong)) {
    return false;
  }
  drop_while_answering(memory, RequestTable::kMaxPageWait, drop);
  return true;
}

void FileSystem::drop_last_pages(VmId vm, const std::function<void()>& drop) {
  drop_while_answering(memory_requests(vm), std::chrono::milliseconds{0}, drop);
}

/// Without a file that is open nothing can be awaited.
void FileSystem::drop_while_answering(const std::shared_ptr<const VmRequests>& memory,
                                      std::chrono::milliseconds patience, const std::function<void()>& drop) {
  const auto active = std::make_shared<std::atomic<bool>>(true);
  if (memory != nullptr) {
    table_.answer_pages_while(active, only(memory), patience);
  }
  drop();
  *active = false;
}

std::uint64_t FileSystem::report_size(Ino ino, std::uint64_t now) {
  switch (kernel_pages_.report_size(ino, now)) {
  case KernelPages::SizeChange::none:
  case KernelPages::SizeChange::held: break;
  case KernelPages::SizeChange::new_end: grow_(ino, now); break;
  case KernelPages::SizeChange::reported:
    // No file is open, but one may be opened and a page of it asked for before the kernel has the answer.
    table_.answer_late_pages([memory = requests({tree_.vm(ino), true})](const VmRequests* requests) {
      return requests == memory.get();
    });
    break;
  }
  return now;
}

/// Nobody gets an error for it: a page that comes late is worth more than one that was dropped in time.
bool FileSystem::drop_kept_pages(VmId vm, const std::function<void()>& drop) {
  const auto memory = memory_requests(vm);
  const auto of = [&memory](const VmRequests* requests) { return requests == memory.get(); };
  if (memory != nullptr && table_.is_page_awaited(of, std::chrono::nanoseconds{0})) {
    return false;
  }
  drop();
  return true;
}

} // namespace vmemfs
