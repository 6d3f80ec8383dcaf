// SPDX-License-Identifier: MIT
// One run of `vmemfs save`, without its signals and its progress.
#pragma once

#include "core/error.h"
#include "fs/save/guest/guest_pause.h"
#include "fs/save/guest/mounted_vm.h"
#include "fs/save/guest/private_mount.h"
#include "fs/save/image/image_copy.h"
#include "fs/save/image/memory_source.h"
#include "fs/save/image/partial_file.h"
#include "fs/save/image/unreadable_ranges.h"
#include "fs/save/save_options.h"
#include "fs/save/save_report.h"
#include "util/mutex.h"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace vmemfs {

/// run() is called by one thread, once; the others are thread-safe, and for the thread that watches it.
class SaveJob {
public:
  explicit SaveJob(SaveOptions options) : options_{std::move(options)} {}

  /// Saves the image. On failure and if it is stopped, no file is left and the guest is released.
  [[nodiscard]] Result<SaveReport> run(const std::stop_token& stop) EXCLUDES(mutex_);

  [[nodiscard]] CopyProgress& progress() { return progress_; }
  /// The time since when the guest is paused by request.
  [[nodiscard]] std::optional<GuestPause::Clock::time_point> paused_since() EXCLUDES(mutex_);
  /// Releases the guest now, even if run() hangs in a read.
  void release_guest() EXCLUDES(mutex_);
  /// Unfinished files, for a process that must end while run() hangs.
  [[nodiscard]] std::vector<std::string> partial_paths() EXCLUDES(mutex_);

private:
  struct Files {
    std::optional<PartialFile> image;
    std::optional<PartialFile> sidecar;
  };

  [[nodiscard]] Result<MountedVm> find_vm(const std::stop_token& stop);
  [[nodiscard]] Result<GuestInfo> read_info(const MountedVm& vm) const;
  [[nodiscard]] Result<Files> create_files(const MountedVm& vm) EXCLUDES(mutex_);
  [[nodiscard]] Result<PartialFile> create_file(const std::string& path) EXCLUDES(mutex_);
  [[nodiscard]] std::string sidecar_path() const;
  [[nodiscard]] Result<void> describe_guest(const MountedVm& vm);
  [[nodiscard]] Result<void> pause_guest(const MountedVm& vm) EXCLUDES(mutex_);
  [[nodiscard]] Result<void> wait_for_constant_epoch(const MountedVm& vm);
  [[nodiscard]] Result<void> copy(const MountedVm& vm, Files& files, const std::stop_token& stop);
  [[nodiscard]] Result<void> copy_packed(const MountedVm& vm, MemorySource& source, const Files& files,
                                         const std::stop_token& stop);
  void reading_ended(const MountedVm& vm) EXCLUDES(mutex_);
  [[nodiscard]] Result<void> check_end(const MountedVm& vm);
  [[nodiscard]] std::string final_state(const MountedVm& vm) const;
  [[nodiscard]] Result<void> publish(Files& files);
  void detach_guest(const MountedVm& vm);

  const SaveOptions options_;
  std::optional<PrivateMount> mount_;     ///< if no mount has the VM
  GuestPause::Clock::time_point begun_{}; ///< before that mount
  bool stopped_by_mount_ = false;         ///< its driver's connecting has stopped the guest
  CopyProgress progress_;
  UnreadableRanges unreadable_;
  SaveReport report_; ///< of run(), and of the reader that ends reading, which run() waits for

  Mutex mutex_; ///< not held while the mount is asked
  std::optional<GuestPause> pause_ GUARDED_BY(mutex_);
  bool released_ GUARDED_BY(mutex_) = false;
  std::vector<std::string> partial_paths_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
