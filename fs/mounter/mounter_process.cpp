// SPDX-License-Identifier: MIT
#include "fs/mounter/mounter_process.h"

#include "fs/daemon/helper_process.h"
#include "fs/daemon/mount_table.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/mounter/backing_requests.h"
#include "fs/mounter/mounter_message.h"
#include "fs/privileges/capabilities.h"

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <optional>
#include <poll.h>
#include <spawn.h>
#include <string>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr int kFailed = 1;
constexpr int kFirstOther = STDERR_FILENO + 1;

/// The mount that was made.
struct ActiveMount {
  MountTable table;
  UniqueFd directory; ///< that is mounted on; names it, whatever it is called by now
  std::string first_path;
  MountIdentity identity;
  UniqueFd abort; ///< ends all requests of the connection; empty: not available
};

/// The path of a directory by its descriptor, without symbolic links, as in the table of mounts.
std::optional<std::string> path_of(const UniqueFd& directory) {
  std::array<char, PATH_MAX> text{};
  const std::string link = fmt::format("/proc/self/fd/{}", directory.get());
  const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
  return size > 0 ? std::optional{std::string{text.data(), static_cast<std::size_t>(size)}} : std::nullopt;
}

/// The path of the mount now: a directory above it may have been renamed.
std::string path_of(const ActiveMount& active) {
  return path_of(active.directory).value_or(active.first_path);
}

/// Whether `found` is true of its path, which may be renamed while the table is read.
template <typename Found> bool is_true_of_path(const ActiveMount& active, Found found) {
  constexpr int kMaxTries = 100;
  std::string path = path_of(active);
  for (int tries = 0; tries < kMaxTries; ++tries) {
    if (found(path)) {
      return true;
    }
    if (const std::string tried = std::exchange(path, path_of(active)); tried == path) {
      return false;
    }
  }
  return false;
}

bool is_mounted(const ActiveMount& active) {
  return is_true_of_path(active,
                         [&](const std::string& path) { return active.table.has(active.identity, path); });
}

void close_all_but(int fd) {
  if (fd > kFirstOther) {
    ::close_range(kFirstOther, static_cast<unsigned>(fd) - 1, 0);
  }
  ::close_range(static_cast<unsigned>(fd) + 1, ~0U, 0);
}

/// Keeps only the capability to unmount, if there is one; otherwise unmounting uses fusermount3, which is
/// set-uid root.
void keep_what_unmounting_takes() {
  constexpr std::array kNeeded{CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH};
  if (may(CAP_SYS_ADMIN) && keep_capabilities(kNeeded)) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  }
}

void send_device(int socket, int device) {
  char done = kMounterDone;
  iovec part{&done, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &device, sizeof(device));
  // Fails if the daemon has ended, which is detected next.
  static_cast<void>(::sendmsg(socket, &message, MSG_NOSIGNAL));
}

void send_error(int socket, const Error& error) {
  const std::string text = static_cast<char>(error.kind) + error.text;
  static_cast<void>(::send(socket, text.data(), text.size(), MSG_NOSIGNAL));
}

void run_fusermount(std::string path) {
  std::string program{"fusermount3"};
  std::string options{"-uqz"};
  std::string end{"--"};
  std::array<char*, 5> arguments{program.data(), options.data(), end.data(), path.data(), nullptr};
  pid_t pid = 0;
  if (::posix_spawnp(&pid, program.c_str(), nullptr, nullptr, arguments.data(), environ) == 0) {
    ::waitpid(pid, nullptr, 0);
  }
}

void force_unmount(const std::string& path) {
  if (::umount2(path.c_str(), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
    run_fusermount(path);
  }
}

/// Nobody answers any more, so requests that wait are ended too: by MNT_FORCE, or without the right to that
/// by the file of the connection.
void unmount(const ActiveMount& active) {
  static_cast<void>(is_true_of_path(active, [&](const std::string& path) {
    if (active.table.mounted_on(path) != active.identity) { // another process may have mounted over it
      return false;
    }
    force_unmount(path);
    return path == path_of(active); // false: try again, it may have been renamed before
  }));
  if (active.abort) {
    static_cast<void>(!::write(active.abort.get(), "1", 1));
  }
}

/// The number of a FUSE connection is the second one of its device.
UniqueFd open_abort(const MountIdentity& identity) {
  const std::string number = identity.device.substr(identity.device.find(':') + 1);
  return UniqueFd{
      ::open(fmt::format("/sys/fs/fuse/connections/{}/abort", number).c_str(), O_WRONLY | O_CLOEXEC)};
}

tl::unexpected<Error> not_in_table(const std::string& path) {
  return fail(
      ErrorKind::source_failed, "mount",
      fmt::format("the new mount on '{}' is not in /proc/self/mountinfo, so it was unmounted again", path));
}

/// Mounts and passes the device to the daemon. The device must not stay open here: the mount must die with
/// the daemon.
Result<ActiveMount> mount(int socket, const MountRequest& request) {
  // Named before mounting, because afterwards the path leads into the mount.
  UniqueFd directory{::open(request.mountpoint.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  std::string path = path_of(directory).value_or(request.mountpoint);
  auto table = MountTable::open();
  if (!table) {
    return tl::unexpected{std::move(table.error())};
  }
  const auto device = mount_fuse(request.mountpoint, request.options);
  if (!device) {
    return tl::unexpected{device.error()};
  }
  auto identity = table->mounted_on(path);
  if (!identity) {
    force_unmount(path); // mounted just now, so it is the right one
    return not_in_table(path);
  }
  auto abort = open_abort(*identity);
  leave_standard_streams(); // after libfuse has printed its messages
  keep_what_unmounting_takes();
  send_device(socket, device->get());
  return ActiveMount{std::move(*table), std::move(directory), std::move(path), std::move(*identity),
                     std::move(abort)};
}

/// Waits for the daemon's request; false if the daemon has ended.
bool wait_for_request(int socket) {
  char request = 0;
  ssize_t size = 0;
  do {
    size = ::recv(socket, &request, 1, 0);
  } while (size < 0 && errno == EINTR);
  return size == 1 && request == kMounterRequest;
}

UniqueFd pidfd_of(pid_t pid) { return UniqueFd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))}; }

void wait_for_end_of(const UniqueFd& process) {
  pollfd end{process.get(), POLLIN, 0};
  while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
}

/// A copy of this process that takes over if this one is killed: nobody else could unmount.
struct Standby {
  pid_t pid = 0; ///< 0: it could not be started
  UniqueFd process;

  /// Forks. The copy returns from here when its parent has ended, with a standby of its own. True in the
  /// copy.
  bool start() {
    for (bool copy = false;; copy = true) {
      const UniqueFd parent = pidfd_of(::getpid());
      const pid_t forked = parent ? ::fork() : -1;
      if (forked != 0) {
        pid = forked < 0 ? 0 : forked;
        process = forked < 0 ? UniqueFd{} : pidfd_of(forked);
        return copy;
      }
      wait_for_end_of(parent);
    }
  }

  void reap() { // also if it still runs
    if (pid != 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    *this = Standby{};
  }
};

/// A descriptor that becomes readable when the daemon has ended, although it may still have its descriptors.
/// Empty: there is no thread for it, and only the socket reports the end.
UniqueFd watch_daemon(LifeLine daemon) {
  UniqueFd ended{::eventfd(0, EFD_CLOEXEC)};
  try {
    std::thread{[daemon, fd = ended.get()] {
      daemon.wait();
      static_cast<void>(::eventfd_write(fd, 1));
    }}.detach(); // ends with the process
  } catch (const std::system_error&) {
    return UniqueFd{};
  }
  return ended;
}

enum class Ended : unsigned char { daemon, mount, standby };

/// Returns immediately if the mount is gone, because the next mount may get the same numbers.
Ended wait_for_end(int socket, const UniqueFd& daemon_ended, const ActiveMount& active,
                   const Standby& standby) {
  if (!is_mounted(active)) { // it went before a standby took over
    return Ended::mount;
  }
  for (;;) {
    std::array<pollfd, 4> entries{{{socket, POLLIN, 0},
                                   {active.table.fd(), POLLPRI, 0},
                                   {standby.process.get(), POLLIN, 0},
                                   {daemon_ended.get(), POLLIN, 0}}};
    const int ready = ::poll(entries.data(), entries.size(), -1);
    if (ready < 0 && errno != EINTR) {
      return Ended::daemon;
    }
    if (ready > 0 && entries[1].revents != 0 && !is_mounted(active)) {
      return Ended::mount;
    }
    if (ready > 0 && entries[3].revents != 0) {
      return Ended::daemon;
    }
    if (ready > 0 && entries[0].revents != 0 && !carry_out_backing_request(socket)) {
      return Ended::daemon;
    }
    if (ready > 0 && entries[2].revents != 0) {
      return Ended::standby;
    }
  }
}

/// Waits until the daemon has closed its end or has ended, then unmounts; or until the mount is gone.
void guard(int socket, LifeLine daemon, const ActiveMount& active) {
  constexpr int kBeforeNextMs = 100; // whatever ends them must not make us fork all the time
  Standby standby;
  if (!standby.start()) { // not again in the copy
    static_cast<void>(::send(socket, &kMounterGuarded, 1, MSG_NOSIGNAL));
  }
  UniqueFd daemon_ended = watch_daemon(daemon);
  for (;;) {
    const Ended ended = wait_for_end(socket, daemon_ended, active, standby);
    if (ended == Ended::daemon) {
      unmount(active); // with the standby still there, in case we are killed in the middle
    }
    standby.reap(); // before our end: it would take the next mount with the same numbers for this one
    if (ended != Ended::standby) {
      return;
    }
    ::poll(nullptr, 0, kBeforeNextMs);
    if (standby.start()) { // the thread stayed in the parent
      daemon_ended = watch_daemon(daemon);
    }
  }
}

} // namespace

int run_mounter(UniqueFd socket, LifeLine daemon, const MountRequest& request) {
  ignore_termination_signals();
  ::setsid();
  close_all_but(socket.get());
  static_cast<void>(!::chdir("/"));
  ::prctl(PR_SET_NAME, kMounterProcessName.data());
  if (!wait_for_request(socket.get())) {
    return 0;
  }
  const auto active = mount(socket.get(), request);
  if (!active) {
    send_error(socket.get(), active.error());
    return kFailed;
  }
  guard(socket.get(), daemon, *active);
  return 0;
}

} // namespace vmemfs
