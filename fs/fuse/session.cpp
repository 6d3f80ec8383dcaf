#include "fs/fuse/session.h"

#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

namespace vmemfs {
namespace {

/// A few threads serve all VMs; more are made when all are busy, so that one slow VM does not hold
/// the others up. Idle ones beyond the small number go, as each woken thread costs a reader time.
constexpr unsigned kMostThreads = 64;
constexpr unsigned kIdleThreads = 4;

struct FuseArgs {
  FuseArgs() = default;
  FuseArgs(const FuseArgs&) = delete;
  FuseArgs& operator=(const FuseArgs&) = delete;
  ~FuseArgs() { fuse_opt_free_args(&args); }
  void add(const std::string& arg) { fuse_opt_add_arg(&args, arg.c_str()); }

  fuse_args args{0, nullptr, 0};
};

} // namespace

Result<void> check_mountpoint(const std::string& mountpoint) {
  struct stat status {};
  if (::stat(mountpoint.c_str(), &status) != 0) {
    if (errno == ENOTCONN) {
      return fail(ErrorKind::busy, "mount",
                  fmt::format("'{}' is a dead mount whose daemon has ended; run: fusermount3 -u '{}'",
                              mountpoint, mountpoint));
    }
    if (errno == ENOENT) {
      return fail(ErrorKind::not_found, "mount",
                  fmt::format("there is no directory '{}'; run: mkdir '{}'", mountpoint, mountpoint));
    }
    return fail_errno(errno, "mount", fmt::format("can't look at '{}'", mountpoint));
  }
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorKind::invalid, "mount", fmt::format("'{}' is no directory", mountpoint));
  }
  return {};
}

Result<std::unique_ptr<Session>> Session::mount(FileSystem& file_system, const std::string& mountpoint,
                                                const std::vector<std::string>& options, bool debug) {
  FuseArgs args;
  args.add("vmemfs");
  if (debug) {
    args.add("-d");
  }
  // With default_permissions the kernel holds everybody to owner and mode, also under allow_other.
  args.add("-ofsname=vmemfs,subtype=vmemfs,default_permissions");
  for (const std::string& option : options) {
    args.add("-o" + option);
  }
  fuse_session* const session =
      fuse_session_new(&args.args, &operations(), sizeof(fuse_lowlevel_ops), &file_system);
  if (session == nullptr) {
    return fail(ErrorKind::invalid, "mount",
                fmt::format("libfuse refused the options (-o {}); its own message stands above",
                            fmt::join(options, ",")));
  }
  std::unique_ptr<Session> mounted{new Session{session}};
  if (fuse_set_signal_handlers(session) != 0) {
    return fail(ErrorKind::source_failed, "mount", "can't set signal handlers");
  }
  mounted->handlers_set_ = true;
  if (fuse_session_mount(session, mountpoint.c_str()) != 0) {
    return fail(ErrorKind::permission, "mount",
                fmt::format("can't mount on '{}' (libfuse's own message stands above); it takes /dev/fuse, "
                            "the package fuse3, and a directory that is yours",
                            mountpoint));
  }
  mounted->mounted_ = true;
  return mounted;
}

Session::~Session() {
  if (mounted_) {
    fuse_session_unmount(session_.get());
  }
  if (handlers_set_) {
    fuse_remove_signal_handlers(session_.get());
  }
}

Result<void> Session::serve() {
  const std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> config{fuse_loop_cfg_create(),
                                                                                   &fuse_loop_cfg_destroy};
  if (config == nullptr) {
    return fail(ErrorKind::no_memory, "mount", "no memory for the request loop");
  }
  fuse_loop_cfg_set_max_threads(config.get(), kMostThreads);
  fuse_loop_cfg_set_idle_threads(config.get(), kIdleThreads);
  const int result = fuse_session_loop_mt(session_.get(), config.get());
  if (result < 0) { // positive: the signal that ended it
    return fail_errno(-result, "mount", "the request loop failed");
  }
  return {};
}

// Once the loop has ended nobody would answer what the kernel may have to wait for.
void Session::forget_pages(NodeId node) {
  if (fuse_session_exited(session_.get()) != 0) {
    return;
  }
  // A negative length stands for "to the end". ENOENT: the kernel has never heard of the file.
  static_cast<void>(fuse_lowlevel_notify_inval_inode(session_.get(), node.ino(), 0, -1));
}

void Session::forget_name(const std::string& name_in_root) {
  if (fuse_session_exited(session_.get()) != 0) {
    return;
  }
  static_cast<void>(fuse_lowlevel_notify_inval_entry(session_.get(), FUSE_ROOT_ID, name_in_root.c_str(),
                                                     name_in_root.size()));
}

} // namespace vmemfs
