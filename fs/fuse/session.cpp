// SPDX-License-Identifier: MIT
#include "fs/fuse/session.h"

#include "fs/fuse/fuse_args.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <unistd.h>

namespace vmemfs {
namespace {

/// Threads are created when all are busy, so that one slow VM does not delay the others: see VmRequests for
/// what one may occupy. Idle ones beyond this number end. The kernel wakes them in turn, and with fewer of
/// them it is more often one on a CPU that sleeps: on two idle virtual CPUs an 8-byte read took 36 us with
/// one, 16 with four and 11 with ten or more; two readers 12, 34 and 42 thousand reads a second each. On a
/// CPU that a reader shares with the daemon, 25 are busy now and then, as one that has answered does not run
/// at once: with a limit of ten, 100 a second ended and were created again, and one of 100 reads took 25 us
/// instead of 13. One thread that also polls the device for 20 us instead of sleeping was better only on CPUs
/// that are busy anyway.
constexpr unsigned kIdleThreads = 64;

/// Ends the wait of libfuse's loop, which then notices that the session has ended. By default it is ignored.
constexpr int kWakeUp = SIGURG;
constexpr std::chrono::milliseconds kWakeUpInterval{20};

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
  const ssize_t got = ::read(fd, buffer, size);
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
  std::unique_ptr<Session> created{new Session{session, file_system.init_extension().answered()}};
  created->loop_ended_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  created->mount_gone_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!created->loop_ended_ || !created->mount_gone_ || created->ready_ < 0) {
    return fail_errno(errno, "mount", "cannot create an eventfd");
  }
  file_system.set_page_dropper([served = created.get()](Ino ino) { served->forget_pages(ino); });
  file_system.set_grower(
      [served = created.get()](Ino ino, std::uint64_t bytes) { served->grow(ino, bytes); });
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
  return {};
}

Result<void> Session::serve(const std::function<void()>& when_ready) {
  const sigset_t ends = end_signals();
  pthread_sigmask(SIG_BLOCK, &ends, nullptr); // also for the threads that are started here
  const UniqueFd signals{::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK)};
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {}; // without SA_RESTART: waiting ends
  if (!signals || ::sigaction(kWakeUp, &nothing, nullptr) != 0) {
    return fail_errno(errno, "mount", "cannot wait for signals");
  }
  loop_ = std::thread{[this] { run_loop(); }};
  await_end(signals.get(), when_ready);
  if (is_readable(loop_ended_.get(), {}) && loop_result_ < 0) { // positive: a signal
    return fail_errno(-loop_result_, "mount", "the request loop failed");
  }
  return {};
}

/// libfuse's loop joins its threads, one of which may hang, before it returns. That the connection has ended
/// is seen at the device too; but to poll it wakes this thread at every request, so only once there is no
/// mount.
void Session::await_end(int signals, const std::function<void()>& when_ready) {
  std::array<pollfd, 5> entries{{{signals, POLLIN, 0},
                                 {loop_ended_.get(), POLLIN, 0},
                                 {mount_gone_.get(), POLLIN, 0},
                                 {-1, 0, 0},
                                 {ready_, POLLIN, 0}}};
  for (;;) {
    if (::poll(entries.data(), entries.size(), -1) < 0) {
      continue; // EINTR
    }
    if (entries[4].revents != 0) {
      entries[4].fd = -1;
      when_ready();
    }
    if (entries[0].revents != 0 || entries[1].revents != 0 || entries[3].revents != 0) {
      return;
    }
    if (entries[2].revents == 0) {
      continue;
    }
    entries[2].fd = -1;
    entries[3].fd = fuse_session_fd(session_.get()); // POLLERR: the connection has ended
  }
}

void Session::note_mount_gone() { static_cast<void>(::eventfd_write(mount_gone_.get(), 1)); }

void Session::run_loop() {
  const std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> config{fuse_loop_cfg_create(),
                                                                                   &fuse_loop_cfg_destroy};
  loop_result_ = -ENOMEM;
  if (config != nullptr) {
    fuse_loop_cfg_set_max_threads(config.get(), RequestThreads::kMax);
    fuse_loop_cfg_set_idle_threads(config.get(), kIdleThreads);
    loop_result_ = fuse_session_loop_mt(session_.get(), config.get());
  }
  static_cast<void>(::eventfd_write(loop_ended_.get(), 1));
}

bool Session::stop(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  ending_ = true;
  fuse_session_exit(session_.get());
  while (loop_.joinable() && !is_readable(loop_ended_.get(), kWakeUpInterval)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    pthread_kill(loop_.native_handle(), kWakeUp); // again, because it may not wait yet
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

/// Storing a byte at the new end makes the kernel take that for the end of the file. It does not take the
/// page for valid by that, unless the byte is the page's first.
void Session::grow(Ino ino, std::uint64_t bytes) {
  if (ending_) {
    return;
  }
  char last = 0;
  fuse_bufvec stored = FUSE_BUFVEC_INIT(1);
  stored.buf[0].mem = &last;
  static_cast<void>(fuse_lowlevel_notify_store(session_.get(), ino, static_cast<off_t>(bytes - 1), &stored,
                                               static_cast<fuse_buf_copy_flags>(0)));
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
