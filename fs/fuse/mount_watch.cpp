// SPDX-License-Identifier: MIT
#include "fs/fuse/mount_watch.h"

#include "core/text.h"
#include "host/process.h"
#include "util/signals.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr const char* kMountInfo = "/proc/self/mountinfo";

/// The device number of a filesystem, without asking that filesystem.
Result<std::string> device_of(const std::string& mountpoint) {
  struct statx status {};
  if (::statx(AT_FDCWD, mountpoint.c_str(), AT_STATX_DONT_SYNC, 0, &status) != 0) {
    return fail_errno(errno, "mount", fmt::format("cannot look at '{}'", mountpoint));
  }
  return fmt::format("{}:{}", status.stx_dev_major, status.stx_dev_minor);
}

} // namespace

Result<std::unique_ptr<MountWatch>> MountWatch::start(const std::string& mountpoint,
                                                      std::function<void()> gone) {
  UniqueFd mounts{::open(kMountInfo, O_RDONLY | O_CLOEXEC)};
  UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!mounts || !wake) {
    return fail_errno(errno, "mount", "cannot watch the mounts of this host");
  }
  auto device = device_of(mountpoint);
  if (!device) {
    return tl::unexpected{std::move(device.error())};
  }
  return std::unique_ptr<MountWatch>{
      new MountWatch{std::move(mounts), std::move(wake), std::move(*device), std::move(gone)}};
}

MountWatch::MountWatch(UniqueFd mounts, UniqueFd wake, std::string device, std::function<void()> gone)
    : mounts_{std::move(mounts)}, wake_{std::move(wake)}, device_{std::move(device)}, gone_{std::move(gone)} {
  const SignalsBlocked blocked;
  thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
}

MountWatch::~MountWatch() {
  thread_.request_stop();
  static_cast<void>(::eventfd_write(wake_.get(), 1));
}

/// The third field of a line of mountinfo is the device. If the table cannot be read, the mount counts as
/// present, so that a lack of descriptors ends nothing.
bool MountWatch::is_mounted() const {
  const auto table = read_proc_file(kMountInfo);
  if (!table) {
    return true;
  }
  const auto lines = split(*table, '\n');
  return std::ranges::any_of(lines, [this](std::string_view line) {
    constexpr std::size_t kDevice = 2;
    const auto fields = split(line, ' ');
    return fields.size() > kDevice && fields[kDevice] == device_;
  });
}

void MountWatch::run(const std::stop_token& stop) {
  while (is_mounted()) {
    // The kernel raises POLLPRI when the table has changed since the descriptor was opened or last polled.
    std::array<pollfd, 2> fds{pollfd{mounts_.get(), POLLPRI, 0}, pollfd{wake_.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) {
      return;
    }
    if (stop.stop_requested()) {
      return;
    }
  }
  gone_();
}

} // namespace vmemfs
