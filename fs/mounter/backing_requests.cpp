// SPDX-License-Identifier: MIT
#include "fs/mounter/backing_requests.h"

#include "fs/mounter/backing_message.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace vmemfs {
namespace {

// Of Linux 6.9; not in the headers of Debian 12.
struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
constexpr unsigned kFuseMagic = 229;
constexpr unsigned long kBackingOpen = _IOW(kFuseMagic, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(kFuseMagic, 2, std::uint32_t);

bool is_fuse_device(const UniqueFd& fd) {
  constexpr unsigned kMiscMajor = 10;
  constexpr unsigned kFuseMinor = 229;
  struct stat info {};
  return fd && ::fstat(fd.get(), &info) == 0 && S_ISCHR(info.st_mode) &&
         info.st_rdev == makedev(kMiscMajor, kFuseMinor);
}

bool is_acceptable(const UniqueFd& file) {
  struct stat info {};
  const int flags = file ? ::fcntl(file.get(), F_GETFL) : -1;
  return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) == O_RDWR &&
         ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode);
}

std::int32_t open_backing(const BackingFds& fds) {
  if (!is_fuse_device(fds[0]) || !is_acceptable(fds[1])) {
    return -EINVAL;
  }
  BackingMap map{fds[1].get(), 0, 0};
  const int id = ::ioctl(fds[0].get(), kBackingOpen, &map);
  return id > 0 ? id : -(errno != 0 ? errno : EIO);
}

} // namespace

bool carry_out_backing_request(int socket) {
  BackingRequest request;
  BackingFds fds;
  const auto bytes = std::as_writable_bytes(std::span{&request, 1});
  if (receive_backing_message(socket, bytes, fds) != static_cast<std::ptrdiff_t>(bytes.size())) {
    return false;
  }
  switch (request.command) {
  case BackingCommand::open: {
    const BackingAnswer answer{request.number, open_backing(fds)};
    static_cast<void>(::send(socket, &answer, sizeof(answer), MSG_NOSIGNAL | MSG_DONTWAIT));
    return true;
  }
  case BackingCommand::close: {
    auto id = static_cast<std::uint32_t>(request.id);
    if (is_fuse_device(fds[0])) {
      static_cast<void>(::ioctl(fds[0].get(), kBackingClose, &id));
    }
    return true;
  }
  }
  return false;
}

} // namespace vmemfs
