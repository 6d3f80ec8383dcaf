// SPDX-License-Identifier: MIT
// Files with saved memory that a discovery found in a directory, shared with the drivers that opened them: a
// VM leaves when its file is removed or replaced.
#pragma once

#include "driver/driver.h"
#include "driver/driver_runtime.h"
#include "image/saved/saved_file.h"
#include "util/mutex.h"

#include <atomic>
#include <map>
#include <memory>
#include <string>

namespace vmemfs {

/// Thread-safe.
class WatchedFile {
public:
  explicit WatchedFile(const SavedFile::Version& version) : version_{version} {}

  [[nodiscard]] const SavedFile::Version& version() const { return version_; }
  [[nodiscard]] std::string key() const; ///< see VmIdentity::key
  [[nodiscard]] bool gone() const { return gone_; }

  /// See Driver::set_listener(). Each driver of the file is an owner of its own.
  void set_listener(const void* owner, VmListener* listener) EXCLUDES(mutex_);
  /// It was removed or replaced: notifies all listeners.
  void end() EXCLUDES(mutex_);

private:
  const SavedFile::Version version_;
  std::atomic<bool> gone_{false};
  Mutex mutex_; ///< held while the listeners are called
  std::map<const void*, VmListener*> listeners_ GUARDED_BY(mutex_);
};

/// Those of a mount. Thread-safe.
class WatchedFiles final : public DriverRuntime {
public:
  /// Null: no discovery has found it.
  [[nodiscard]] std::shared_ptr<WatchedFile> find(const std::string& path) const EXCLUDES(mutex_);
  /// The file of this version: a new one, or that of another discovery of the same directory.
  [[nodiscard]] std::shared_ptr<WatchedFile> add(const std::string& path, const SavedFile::Version& version)
      EXCLUDES(mutex_);
  void end(const std::string& path, const std::shared_ptr<WatchedFile>& file) EXCLUDES(mutex_);

private:
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<WatchedFile>> files_ GUARDED_BY(mutex_); ///< by path
};

} // namespace vmemfs
