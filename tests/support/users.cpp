// SPDX-License-Identifier: MIT
#include "support/users.h"

#include "support/files.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs::test {
namespace {

constexpr const char* kDevice = "/dev/fuse";
constexpr mode_t kForAll = 0666;

void check(int result, const char* what) {
  if (result != 0) {
    throw std::system_error{errno, std::generic_category(), what};
  }
}

} // namespace

std::vector<std::string> as_user(uid_t user) {
  // Becoming another user takes away the signal that ends a child with its test.
  return {"setpriv", fmt::format("--reuid={}", user), fmt::format("--regid={}", user), "--clear-groups",
          "--pdeathsig=KILL"};
}

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

void give(const std::string& path, uid_t user) {
  check(::chown(path.c_str(), user, static_cast<gid_t>(user)), "chown");
}

void allow_mounts_for_all() {
  struct stat device {};
  check(::stat(kDevice, &device), kDevice);
  if ((device.st_mode & kForAll) == kForAll) {
    return;
  }
  check(::unshare(CLONE_NEWNS), "unshare");
  check(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "private mounts");
  const TempDir dir;
  check(::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, nullptr), "tmpfs");
  const std::string own = dir / "fuse";
  check(::mknod(own.c_str(), S_IFCHR, device.st_rdev), "mknod");
  check(::chmod(own.c_str(), kForAll), "chmod");
  check(::mount(own.c_str(), kDevice, nullptr, MS_BIND, nullptr), "bind");
  check(::umount2(dir.path().c_str(), MNT_DETACH), "umount");
}

} // namespace vmemfs::test
