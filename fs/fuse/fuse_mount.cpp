// SPDX-License-Identifier: MIT
#include "fs/fuse/fuse_mount.h"

#include "fs/fuse/fuse_args.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>
#include <sys/stat.h>

namespace vmemfs {

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
    return fail_errno(errno, "mount", fmt::format("cannot look at '{}'", mountpoint));
  }
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorKind::invalid, "mount", fmt::format("'{}' is not a directory", mountpoint));
  }
  return {};
}

Result<UniqueFd> mount_fuse(const std::string& mountpoint, const std::vector<std::string>& options) {
  FuseArgs args{options};
  const fuse_lowlevel_ops none{};
  // Destroying a session does not unmount.
  const std::unique_ptr<fuse_session, decltype(&fuse_session_destroy)> session{
      fuse_session_new(args.get(), &none, sizeof(none), nullptr), &fuse_session_destroy};
  if (session == nullptr) {
    return fail(ErrorKind::invalid, "mount",
                fmt::format("libfuse refused the options (-o {}); see its own message above",
                            fmt::join(options, ",")));
  }
  if (fuse_session_mount(session.get(), mountpoint.c_str()) != 0) {
    return fail(ErrorKind::permission, "mount",
                fmt::format("cannot mount on '{}' (see libfuse's own message above); it takes /dev/fuse, "
                            "the package fuse3, and a directory that is yours",
                            mountpoint));
  }
  UniqueFd device{::fcntl(fuse_session_fd(session.get()), F_DUPFD_CLOEXEC, 0)};
  return device ? Result<UniqueFd>{std::move(device)}
                : fail_errno(errno, "mount", "cannot keep hold of /dev/fuse");
}

} // namespace vmemfs
