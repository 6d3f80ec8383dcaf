// SPDX-License-Identifier: MIT
#include "fs/mounter/mounter.h"

#include "core/text.h"
#include "fs/daemon/mount_table.h"
#include "fs/mounter/mounter_backing_ids.h"
#include "fs/mounter/mounter_message.h"
#include "fs/mounter/mounter_process.h"
#include "util/log.h"
#include "util/signals.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "mount";
constexpr int kEndLimitMs = 5000;
constexpr std::size_t kMaxText = 4096;

/// One message with the descriptor that was passed with it.
struct Answer {
  std::string text; ///< empty: the process has ended
  UniqueFd device;
};

UniqueFd descriptor_in(msghdr& message) {
  const cmsghdr* const control = CMSG_FIRSTHDR(&message);
  if (control == nullptr || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
    return UniqueFd{};
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(control), sizeof(fd));
  return UniqueFd{fd};
}

Answer receive(int socket) {
  std::string text(kMaxText, '\0');
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return {std::move(text), size > 0 ? descriptor_in(message) : UniqueFd{}};
}

} // namespace

Result<Mounter> Mounter::start(const MountRequest& request) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno(errno, kOrigin, "cannot create a socket");
  }
  UniqueFd ours{ends[0]};
  UniqueFd theirs{ends[1]};
  const auto life_line = LifeLine::hold();
  if (!life_line) {
    return tl::unexpected{life_line.error()};
  }
  const SignalsBlocked blocked; // until the child ignores them
  const pid_t pid = ::fork();
  if (pid < 0) {
    return fail_errno(errno, kOrigin, "cannot start the process that mounts");
  }
  if (pid == 0) {
    ours.reset();
    ::_exit(run_mounter(std::move(theirs), *life_line, request));
  }
  UniqueFd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  return Mounter{pid, std::move(process), std::move(ours), request.mountpoint};
}

Mounter::Mounter(pid_t pid, UniqueFd process, UniqueFd socket, std::string mountpoint)
    : pid_{pid}, process_{std::move(process)}, socket_{std::move(socket)},
      mountpoint_{std::move(mountpoint)} {}

Mounter::Mounter(Mounter&& other) noexcept
    : pid_{other.pid_.exchange(0)}, process_{std::move(other.process_)}, socket_{std::move(other.socket_)},
      mountpoint_{std::move(other.mountpoint_)} {}

Mounter::~Mounter() { unmount(); }

Result<UniqueFd> Mounter::mount() {
  const bool sent = ::send(socket_.get(), &kMounterRequest, 1, MSG_NOSIGNAL) == 1;
  Answer answer = sent ? receive(socket_.get()) : Answer{};
  if (auto mounted = parse_mounter_answer(answer.text); !mounted) {
    return tl::unexpected{std::move(mounted.error())};
  }
  wait_for_standby();
  return answer.device
             ? Result<UniqueFd>{std::move(answer.device)}
             : fail(ErrorKind::no_memory, kOrigin, "too many open files; raise the limit (ulimit -n)");
}

std::unique_ptr<BackingIds> Mounter::backing_ids(int device) const {
  UniqueFd socket{::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0)};
  UniqueFd own_device{::fcntl(device, F_DUPFD_CLOEXEC, 0)};
  if (!socket || !own_device) {
    return nullptr;
  }
  return std::make_unique<MounterBackingIds>(std::move(socket), std::move(own_device));
}

/// Or until the process was killed, which take_end() reports.
void Mounter::wait_for_standby() const {
  std::array<pollfd, 2> entries{{{socket_.get(), POLLIN, 0}, {process_.get(), POLLIN, 0}}};
  while (::poll(entries.data(), entries.size(), -1) < 0 && errno == EINTR) {
  }
  char guarded = 0;
  static_cast<void>(::recv(socket_.get(), &guarded, 1, MSG_DONTWAIT));
}

void Mounter::unmount() {
  if (!socket_) {
    return;
  }
  if (nobody_left()) { // or the mount is gone already, and the process with it
    if (const auto table = MountTable::open(); table && table->mounted_on(mountpoint_)) {
      log::error("mount: no process is left that unmounts; {}", remedy());
    }
  }
  ::shutdown(socket_.get(), SHUT_WR);
  pollfd end{socket_.get(), POLLIN, 0};
  if (::poll(&end, 1, kEndLimitMs) == 1) {
    if (const pid_t pid = pid_.exchange(0); pid != 0) {
      ::waitpid(pid, nullptr, 0);
    }
  } else {
    log::warning("mount: process {} ({}) does not end; check that the mount was removed", pid_.load(),
                 kMounterProcessName);
  }
  socket_.reset();
}

std::optional<std::string> Mounter::take_end() {
  const pid_t pid = pid_.exchange(0);
  int status = 0;
  if (pid == 0 || ::waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
    return std::nullopt;
  }
  const std::string killed = fmt::format("mount: process {} ({}) was killed by signal {}", pid,
                                         kMounterProcessName, WTERMSIG(status));
  return nobody_left() ? fmt::format("{}, and no process is left that unmounts; after vmemfs has ended, {}",
                                     killed, remedy())
                       : fmt::format("{}; another one takes over", killed);
}

/// The standby has the other end of the socket, too.
bool Mounter::nobody_left() const {
  pollfd end{socket_.get(), 0, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) != 0;
}

std::string Mounter::remedy() const {
  return fmt::format("run fusermount3 -u '{}'", printable(mountpoint_, PATH_MAX));
}

} // namespace vmemfs
