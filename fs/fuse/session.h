// One mount: libfuse's session, from mounting to unmounting.
#pragma once

#include "core/error.h"
#include "fs/fuse/node_id.h"
#include "fs/fuse/operations.h"

#include <fuse_lowlevel.h>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs {

class Session {
public:
  /// Mounts. `options` are FUSE mount options, one each, as "allow_other". `file_system` must outlive
  /// the session.
  static Result<std::unique_ptr<Session>> mount(FileSystem& file_system, const std::string& mountpoint,
                                                const std::vector<std::string>& options, bool debug);
  ~Session(); ///< unmounts
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Answers the kernel until somebody unmounts or SIGTERM, SIGINT or SIGHUP comes.
  [[nodiscard]] Result<void> serve();

  // Tell the kernel to forget. Never call these on a thread that answers requests: they may wait for
  // reads in flight.
  void forget_pages(NodeId node);
  void forget_name(const std::string& name_in_root);

private:
  explicit Session(fuse_session* session) : session_{session} {}

  struct Destroy {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
  };
  std::unique_ptr<fuse_session, Destroy> session_;
  bool handlers_set_ = false;
  bool mounted_ = false;
};

/// Why the directory can't be mounted on, if it can't, and what helps.
[[nodiscard]] Result<void> check_mountpoint(const std::string& mountpoint);

} // namespace vmemfs
