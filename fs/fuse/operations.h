// SPDX-License-Identifier: MIT
// The callbacks of libfuse: decode the kernel's requests, which the tree and its files answer.
#pragma once

#include "fs/tree/tree.h"
#include "util/mutex.h"

#include <cstdint>
#include <functional>
#include <fuse_lowlevel.h>
#include <map>
#include <memory>

namespace vmemfs {

/// The userdata of the FUSE session. Owns the open files, so that files that the kernel never released (as
/// when a mount is torn down) are closed with it. Thread-safe.
class FileSystem {
public:
  explicit FileSystem(Tree& tree) : tree_{tree} {}

  [[nodiscard]] Tree& tree() { return tree_; }

  /// The handle under which the kernel knows the file; valid until close().
  [[nodiscard]] std::uint64_t keep(std::shared_ptr<OpenFile> file);
  void close(std::uint64_t handle);

  /// Calls `unused` once, as soon as no file is open: now, or on the thread that closes the last one.
  void when_unused(std::function<void()> unused) EXCLUDES(mutex_);

private:
  Tree& tree_;
  Mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<OpenFile>> open_files_ GUARDED_BY(mutex_);
  std::function<void()> unused_ GUARDED_BY(mutex_); ///< not called while the lock is held
};

/// libfuse's table; the userdata must be a FileSystem.
[[nodiscard]] const fuse_lowlevel_ops& operations();

} // namespace vmemfs
