// SPDX-License-Identifier: MIT
// Serving a mount: libfuse's session. Mounting and unmounting: fs/fuse/fuse_mount.h, fs/app/mounter.h.
#pragma once

#include "core/error.h"
#include "fs/fuse/operations.h"
#include "fs/tree/inode_table.h"
#include "util/unique_fd.h"

#include <fuse_lowlevel.h>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs {

class Session {
public:
  /// Not mounted yet. `options` as for FuseArgs. `file_system` must outlive the session.
  static Result<std::unique_ptr<Session>> create(FileSystem& file_system,
                                                 const std::vector<std::string>& options, bool debug);
  ~Session(); ///< lets go of the device: what is still open of the mount fails from then on
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The mount to serve, by its device: see mount_fuse(). Who mounted it unmounts it. Once.
  [[nodiscard]] Result<void> connect(UniqueFd device);

  /// Answers the kernel until somebody unmounts or SIGTERM, SIGINT or SIGHUP comes.
  [[nodiscard]] Result<void> serve();

  // Tell the kernel to forget. Never call these on a thread that answers requests: they may wait for
  // reads in flight.
  void forget_pages(Ino ino);
  void forget_name(const std::string& name_in_root);

private:
  explicit Session(fuse_session* session) : session_{session} {}

  struct Destroy {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
  };
  std::unique_ptr<fuse_session, Destroy> session_;
  bool handlers_set_ = false;
};

} // namespace vmemfs
