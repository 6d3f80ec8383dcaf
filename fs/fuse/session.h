// SPDX-License-Identifier: MIT
// The session of libfuse that serves a mount. Mounting and unmounting: fs/fuse/fuse_mount.h,
// fs/mounter/mounter.h.
#pragma once

#include "core/error.h"
#include "fs/fuse/operations.h"
#include "fs/tree/inode_table.h"
#include "util/unique_fd.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <fuse_lowlevel.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs {

class Session {
public:
  /// Not mounted yet. `options` as for FuseArgs. `file_system` must outlive the session.
  static Result<std::unique_ptr<Session>> create(FileSystem& file_system,
                                                 const std::vector<std::string>& options, bool debug);
  ~Session(); ///< closes the device: files of the mount that are still open fail from then on
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Takes the mount to serve, by its device: see mount_fuse(). The mounter unmounts it. Once.
  [[nodiscard]] Result<void> connect(UniqueFd device);

  /// Answers the kernel; returns when the filesystem is unmounted or SIGTERM, SIGINT or SIGHUP arrives.
  /// Threads answer after that, too, until stop(). The calling thread blocks these signals from then on.
  /// Once. `when_ready` is called on it as soon as there is a file system: libfuse and the kernel have
  /// agreed.
  [[nodiscard]] Result<void> serve(const std::function<void()>& when_ready);

  /// The mount has left the table of mounts. serve() then notices by itself when its last file is closed,
  /// also if a thread hangs. On any thread.
  void note_mount_gone();

  /// After serve(): from now on nothing is invalidated any more. Without it a thread that does would wait for
  /// requests that nobody answers after stop().
  void end_invalidation() { ending_ = true; }

  /// After serve(): ends answering and waits for the threads that are at work. False: they still are after
  /// `limit`. Then this object cannot be destroyed, and the process has to end by _exit().
  [[nodiscard]] bool stop(std::chrono::milliseconds limit);

  // Invalidate what the kernel remembers. Never called on a thread that answers requests, as they may wait
  // for reads in flight.
  void forget_pages(Ino ino);      ///< and attributes
  void forget_attributes(Ino ino); ///< waits for nothing
  void forget_name(const std::string& name_in_root);

  /// The file has a new end, in a page of which the kernel has nothing. Waits for nothing. On any thread.
  void grow(Ino ino, std::uint64_t bytes);

private:
  Session(fuse_session* session, int ready) : session_{session}, ready_{ready} {}
  void run_loop();
  void await_end(int signals, const std::function<void()>& when_ready);

  struct Destroy {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
  };
  std::unique_ptr<fuse_session, Destroy> session_;
  int ready_ = -1; ///< InitExtension::answered()
  bool handlers_set_ = false;
  UniqueFd loop_ended_;
  UniqueFd mount_gone_;
  std::thread loop_;
  int loop_result_ = 0; ///< set before loop_ended_ is
  std::atomic<bool> ending_{false};
};

} // namespace vmemfs
