// SPDX-License-Identifier: MIT
#include "drivers/dump/directory/watched_file.h"

#include <fmt/format.h>

namespace vmemfs {

std::string WatchedFile::key() const {
  return fmt::format("file:{:x}.{:x}.{:x}.{:x}", version_.device, version_.inode, version_.modified_ns,
                     version_.size);
}

void WatchedFile::set_listener(const void* owner, VmListener* listener) {
  const MutexLock lock{mutex_};
  if (listener == nullptr) {
    listeners_.erase(owner);
  } else {
    listeners_.insert_or_assign(owner, listener);
  }
}

void WatchedFile::end() {
  gone_ = true;
  const MutexLock lock{mutex_};
  for (const auto& [owner, listener] : listeners_) {
    listener->on_vm_event(VmEvent::gone);
  }
}

std::shared_ptr<WatchedFile> WatchedFiles::find(const std::string& path) const {
  const MutexLock lock{mutex_};
  const auto found = files_.find(path);
  return found == files_.end() ? nullptr : found->second;
}

std::shared_ptr<WatchedFile> WatchedFiles::add(const std::string& path, const SavedFile::Version& version) {
  const MutexLock lock{mutex_};
  auto& file = files_[path];
  if (file == nullptr || file->gone() || file->version() != version) {
    file = std::make_shared<WatchedFile>(version);
  }
  return file;
}

void WatchedFiles::end(const std::string& path, const std::shared_ptr<WatchedFile>& file) {
  {
    const MutexLock lock{mutex_};
    const auto found = files_.find(path);
    if (found != files_.end() && found->second == file) {
      files_.erase(found);
    }
  }
  file->end();
}

} // namespace vmemfs
