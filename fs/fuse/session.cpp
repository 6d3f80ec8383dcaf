// SPDX-License-Identifier: MIT
#include "fs/fuse/session.h"

#include "fs/fuse/fuse_args.h"

#include <csignal>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace vmemfs {
namespace {

/// A few threads serve all VMs; more are created when all are busy, so that one slow VM does not delay the
/// others. Idle ones beyond the small number end, as each thread that wakes up costs a reader time.
constexpr unsigned kMaxThreads = 64;
constexpr unsigned kIdleThreads = 4;

} // namespace

Result<std::unique_ptr<Session>> Session::create(FileSystem& file_system,
                                                 const std::vector<std::string>& options, bool debug) {
  FuseArgs args{options};
  if (debug) {
    args.add("-d");
  }
  fuse_session* const session =
      fuse_session_new(args.get(), &operations(), sizeof(fuse_lowlevel_ops), &file_system);
  if (session == nullptr) {
    return fail(ErrorKind::invalid, "mount",
                fmt::format("libfuse refused the options (-o {}); see its own message above",
                            fmt::join(options, ",")));
  }
  std::unique_ptr<Session> created{new Session{session}};
  if (fuse_set_signal_handlers(session) != 0) {
    return fail(ErrorKind::source_failed, "mount", "can't set signal handlers");
  }
  created->handlers_set_ = true;
  return created;
}

Session::~Session() {
  if (handlers_set_) {
    fuse_remove_signal_handlers(session_.get());
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) { // a second signal must not interrupt the end
      static_cast<void>(::signal(signal, SIG_IGN));
    }
  }
}

// By this name libfuse takes a device that another process has mounted, and does not unmount it.
Result<void> Session::connect(UniqueFd device) {
  if (fuse_session_mount(session_.get(), fmt::format("/dev/fd/{}", device.get()).c_str()) != 0) {
    return fail(ErrorKind::source_failed, "mount", "libfuse does not take the mounted /dev/fuse");
  }
  static_cast<void>(device.release()); // closed with the session
  return {};
}

Result<void> Session::serve() {
  const std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> config{fuse_loop_cfg_create(),
                                                                                   &fuse_loop_cfg_destroy};
  if (config == nullptr) {
    return fail(ErrorKind::no_memory, "mount", "no memory for the request loop");
  }
  fuse_loop_cfg_set_max_threads(config.get(), kMaxThreads);
  fuse_loop_cfg_set_idle_threads(config.get(), kIdleThreads);
  const int result = fuse_session_loop_mt(session_.get(), config.get());
  if (result < 0) { // positive: the signal that ended it
    return fail_errno(-result, "mount", "the request loop failed");
  }
  return {};
}

// After the loop has ended, no thread would answer a request that the kernel may have to wait for.
void Session::forget_pages(Ino ino) {
  if (fuse_session_exited(session_.get()) != 0) {
    return;
  }
  // A negative length means "to the end". ENOENT: the kernel does not know the file.
  static_cast<void>(fuse_lowlevel_notify_inval_inode(session_.get(), ino, 0, -1));
}

void Session::forget_name(const std::string& name_in_root) {
  if (fuse_session_exited(session_.get()) != 0) {
    return;
  }
  static_cast<void>(fuse_lowlevel_notify_inval_entry(session_.get(), FUSE_ROOT_ID, name_in_root.c_str(),
                                                     name_in_root.size()));
}

} // namespace vmemfs
