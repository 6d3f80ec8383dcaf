// SPDX-License-Identifier: MIT
#include "fs/fuse/session.h"

#include "fs/fuse/fuse_args.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/fuse.h>
#include <optional>
#include <poll.h>
#include <span>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs {
namespace {

sigset_t end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&signals, signal);
  }
  return signals;
}

bool is_readable(int fd, std::chrono::milliseconds limit) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(limit.count())) == 1;
}

ssize_t read_device(int fd, void* buffer, std::size_t size, void* userdata) {
  const ssize_t got = RequestLoop::read_device(fd, buffer, size);
  if (got > 0) {
    static_cast<FileSystem*>(userdata)->init_extension().note_request(
        {static_cast<const std::byte*>(buffer), static_cast<std::size_t>(got)});
  }
  return got;
}

ssize_t write_device(int fd, iovec* pieces, int count, void* userdata) {
  static_cast<FileSystem*>(userdata)->init_extension().complete({pieces, static_cast<std::size_t>(count)});
  OpenAnswer::complete({pieces, static_cast<std::size_t>(count)});
  return ::writev(fd, pieces, count);
}

template <typename Body> std::optional<Body> body_of(std::span<const std::byte> request) {
  Body body{};
  if (request.size() < sizeof(fuse_in_header) + sizeof(body)) {
    return std::nullopt;
  }
  std::memcpy(&body, request.data() + sizeof(fuse_in_header), sizeof(body));
  return body;
}

/// The handle of a read is an open file: see op_read().
RequestLoop::Cost cost_of_read(const std::optional<fuse_read_in>& read) {
  constexpr std::size_t kSmall = std::size_t{64} << 10U;
  if (!read || !reinterpret_cast<const OpenHandle*>(read->fh)->quick) {
    return RequestLoop::Cost::waits;
  }
  return read->size <= kSmall ? RequestLoop::Cost::little : RequestLoop::Cost::copy;
}

RequestLoop::Cost cost_of(std::span<const std::byte> request) {
  fuse_in_header header{};
  if (request.size() < sizeof(header)) {
    return RequestLoop::Cost::waits;
  }
  std::memcpy(&header, request.data(), sizeof(header));
  switch (header.opcode) {
  case FUSE_READ: return cost_of_read(body_of<fuse_read_in>(request));
  case FUSE_GETATTR: { // before a read through the kernel's cache, it waits for other reads
    const auto getattr = body_of<fuse_getattr_in>(request);
    const bool is_of_file = !getattr || (getattr->getattr_flags & FUSE_GETATTR_FH) != 0;
    return is_of_file ? RequestLoop::Cost::waits : RequestLoop::Cost::little;
  }
  case FUSE_LOOKUP:
  case FUSE_FORGET:
  case FUSE_BATCH_FORGET:
  case FUSE_INTERRUPT: return RequestLoop::Cost::little;
  default: return RequestLoop::Cost::waits;
  }
}

/// As libfuse does it itself, but for the completed answers to the kernel's first request and to open().
constexpr fuse_custom_io kDeviceIo{
    .writev = write_device, .read = read_device, .splice_receive = nullptr, .splice_send = nullptr};

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
  created->loop_ended_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  created->mount_gone_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!created->loop_ended_ || !created->mount_gone_) {
    return fail_errno(errno, "mount", "cannot create an eventfd");
  }
  file_system.set_page_dropper([served = created.get()](Ino ino) { served->forget_pages(ino); });
  if (fuse_set_signal_handlers(session) != 0) {
    return fail(ErrorKind::source_failed, "mount", "cannot set signal handlers");
  }
  created->handlers_set_ = true;
  return created;
}

Session::~Session() {
  if (loop_.joinable()) {
    loop_.join();
  }
  if (handlers_set_) {
    fuse_remove_signal_handlers(session_.get());
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) { // a second signal must not interrupt the end
      static_cast<void>(::signal(signal, SIG_IGN));
    }
  }
}

// By this libfuse takes a device that another process has mounted, and does not unmount it.
Result<void> Session::connect(UniqueFd device) {
  if (fuse_session_custom_io(session_.get(), &kDeviceIo, device.get()) != 0) {
    return fail(ErrorKind::source_failed, "mount", "libfuse does not take the mounted /dev/fuse");
  }
  static_cast<void>(device.release()); // closed with the session
  const int flags = ::fcntl(fuse_session_fd(session_.get()), F_GETFL);
  if (flags < 0 || ::fcntl(fuse_session_fd(session_.get()), F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno(errno, "mount", "cannot set the mode of the mounted /dev/fuse");
  }
  return {};
}

Result<void> Session::serve() {
  const sigset_t ends = end_signals();
  pthread_sigmask(SIG_BLOCK, &ends, nullptr); // also for the threads that are started here
  const UniqueFd signals{::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK)};
  if (!signals) {
    return fail_errno(errno, "mount", "cannot wait for signals");
  }
  try {
    requests_ = std::make_unique<RequestLoop>(session_.get(), RequestThreads::kMax, &cost_of);
  } catch (const std::system_error& error) {
    return fail(ErrorKind::source_failed, "mount", fmt::format("cannot create a thread: {}", error.what()));
  }
  loop_ = std::thread{[this] { run_loop(); }};
  await_end(signals.get());
  ending_ = true;
  fuse_session_exit(session_.get());
  if (is_readable(loop_ended_.get(), {}) && loop_result_ < 0) { // positive: a signal
    return fail_errno(-loop_result_, "mount", "the request loop failed");
  }
  return {};
}

/// The loop joins its threads, one of which may hang, before it returns. That the connection has ended
/// is seen at the device too; but to poll it wakes this thread at every request, so only once there is no
/// mount.
void Session::await_end(int signals) {
  std::array<pollfd, 4> entries{
      {{signals, POLLIN, 0}, {loop_ended_.get(), POLLIN, 0}, {mount_gone_.get(), POLLIN, 0}, {-1, 0, 0}}};
  for (;;) {
    if (::poll(entries.data(), entries.size(), -1) < 0) {
      continue; // EINTR
    }
    if (entries[0].revents != 0 || entries[1].revents != 0 || entries[3].revents != 0) {
      return;
    }
    entries[2].fd = -1;
    entries[3].fd = fuse_session_fd(session_.get()); // POLLERR: the connection has ended
  }
}

void Session::note_mount_gone() { static_cast<void>(::eventfd_write(mount_gone_.get(), 1)); }

void Session::run_loop() {
  loop_result_ = requests_->run();
  static_cast<void>(::eventfd_write(loop_ended_.get(), 1));
}

bool Session::stop(std::chrono::milliseconds limit) {
  requests_->stop();
  if (loop_.joinable() && !is_readable(loop_ended_.get(), limit)) {
    return false;
  }
  if (loop_.joinable()) {
    loop_.join();
  }
  return true;
}

// After the loop has ended, no thread would answer a request that the kernel may have to wait for.
void Session::forget_pages(Ino ino) {
  if (ending_) {
    return;
  }
  // A negative length means "to the end". ENOENT: the kernel does not know the file.
  static_cast<void>(fuse_lowlevel_notify_inval_inode(session_.get(), ino, 0, -1));
}

/// A negative offset means "no pages".
void Session::forget_attributes(Ino ino) {
  if (!ending_) {
    static_cast<void>(fuse_lowlevel_notify_inval_inode(session_.get(), ino, -1, 0));
  }
}

void Session::forget_name(const std::string& name_in_root) {
  if (ending_) {
    return;
  }
  static_cast<void>(fuse_lowlevel_notify_inval_entry(session_.get(), FUSE_ROOT_ID, name_in_root.c_str(),
                                                     name_in_root.size()));
}

} // namespace vmemfs
