// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/session/memory_session.h"

#include "util/fd_wait.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sys/un.h>
#include <thread>
#include <utility>

namespace vmemfs::pmemaccess {
namespace {

using Clock = MemorySession::Clock;

constexpr std::string_view kOrigin = "pmemaccess";
constexpr std::chrono::seconds kForBind{2}; ///< how long QEMU may take to make the socket
constexpr std::chrono::milliseconds kBetweenTries{5};

tl::unexpected<Error> connect_error(int os_errno, const std::string& path) {
  switch (os_errno) {
  case ENOENT:
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("there is no memory socket {}: QEMU has ended or the session has; the monitor "
                            "command pmemaccess makes one",
                            path));
  case ECONNREFUSED:
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("no process listens on the memory socket {}: its QEMU has ended", path));
  case EACCES:
  case EPERM:
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("cannot connect to the memory socket {}: Permission denied; run vmemfs as the user "
                    "that QEMU runs as, as root, or with CAP_DAC_OVERRIDE",
                    path));
  default: return fail_errno(os_errno, kOrigin, fmt::format("cannot connect to the memory socket {}", path));
  }
}

bool may_appear(int os_errno) { return os_errno == ENOENT || os_errno == ECONNREFUSED; }

} // namespace

Result<std::unique_ptr<MemorySession>> MemorySession::connect(const std::string& path, Retry retry,
                                                              Clock::time_point deadline) {
  if (path.empty() || path.size() > kMaxPath) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("the path of the memory socket has {} bytes, and QEMU takes 1 to {}: {}; give a "
                            "shorter one, as with dir=",
                            path.size(), kMaxPath, path));
  }
  UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) {
    return fail_errno(errno, kOrigin, "cannot create a socket");
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  const auto appears =
      retry == Retry::yes ? std::min(deadline, Clock::now() + kForBind) : Clock::time_point{};
  // The socket API requires a cast between its address types.
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int os_errno = errno;
    const bool waits = os_errno == EAGAIN || os_errno == EINTR; // its listen queue is full
    const auto limit = waits ? deadline : appears;
    if (!waits && !may_appear(os_errno)) {
      return connect_error(os_errno, path);
    }
    if (Clock::now() >= limit || WorkLimit::over()) {
      return waits ? fail(ErrorKind::timed_out, kOrigin,
                          fmt::format("the memory socket {} has another client", path))
                   : connect_error(os_errno, path);
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  return std::make_unique<MemorySession>(std::move(socket));
}

MemorySession::~MemorySession() {
  const auto quit = request_bytes(RequestType::quit, Gpa{0}, 0);
  static_cast<void>(::send(socket_.get(), quit.data(), quit.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

Result<std::span<const std::byte>> MemorySession::read(Gpa gpa, std::size_t size,
                                                       Clock::time_point deadline) {
  using Answer = Result<std::span<const std::byte>>;
  if (auto begun = begin(request_bytes(RequestType::read, gpa, size)); !begun) {
    return tl::unexpected{std::move(begun.error())};
  }
  reply_.begin(size);
  if (auto collected = collect(deadline); !collected) {
    return tl::unexpected{std::move(collected.error())};
  }
  return reply_.state() == ReadReply::State::whole
             ? Answer{reply_.data()}
             : fail(ErrorKind::bad_page, kOrigin,
                    fmt::format("QEMU cannot read {} bytes at {:#x}", size, gpa.value()));
}

Result<void> MemorySession::collect(Clock::time_point deadline) {
  while (!reply_.room().empty()) {
    const bool doubtful = reply_.state() == ReadReply::State::one_byte;
    const auto limit = doubtful ? std::min(deadline, Clock::now() + kGrace) : deadline;
    const auto got = receive(reply_.room(), limit);
    if (!got) {
      return tl::unexpected{got.error()};
    }
    if (*got == 0) {
      return doubtful
                 ? confirm_failure(deadline)
                 : break_off(ErrorKind::timed_out, "QEMU did not answer within the time limit; another "
                                                   "client may have the session, or give a larger timeout");
    }
    reply_.take(*got);
  }
  return {};
}

/// One byte came, and then nothing.
Result<void> MemorySession::confirm_failure(Clock::time_point deadline) {
  if (auto begun = begin(request_bytes(RequestType::probe, Gpa{0}, 0)); !begun) {
    return begun;
  }
  std::byte answer{1};
  const auto got = receive({&answer, 1}, std::max(deadline, Clock::now() + kGrace));
  if (!got) {
    return tl::unexpected{got.error()};
  }
  if (*got == 0 || answer != std::byte{0} || !in_step()) {
    return break_off(ErrorKind::source_failed, "a part of a reply came late");
  }
  return {};
}

Result<void> MemorySession::write(Gpa gpa, std::span<const std::byte> bytes, Clock::time_point deadline) {
  const auto header = request_bytes(RequestType::write, gpa, bytes.size());
  std::array<std::byte, kRequestBytes + kMaxWrite> request;
  std::ranges::copy(header, request.begin());
  std::ranges::copy(bytes, request.begin() + kRequestBytes);
  if (auto begun = begin(std::span{request}.first(kRequestBytes + bytes.size())); !begun) {
    return begun;
  }
  std::byte status{0};
  const auto got = receive({&status, 1}, deadline);
  if (!got) {
    return tl::unexpected{got.error()};
  }
  if (*got == 0) {
    return break_off(ErrorKind::timed_out,
                     "QEMU did not answer a write within the time limit; some of it may "
                     "have been written");
  }
  if (status == std::byte{0}) {
    return break_off(ErrorKind::source_failed,
                     fmt::format("QEMU could not write all of {} bytes at {:#x}; some of them may have been "
                                 "written",
                                 bytes.size(), gpa.value()));
  }
  return {};
}

/// By one call: QEMU takes a request in pieces for several.
Result<void> MemorySession::begin(std::span<const std::byte> request) {
  if (broken_) {
    return fail(ErrorKind::source_failed, kOrigin, "the session is broken");
  }
  if (!in_step()) {
    return break_off(ErrorKind::source_failed, "QEMU closed the session, or sent what nobody asked for");
  }
  ssize_t sent = 0;
  do {
    sent = ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent != static_cast<ssize_t>(request.size())) {
    return break_off(ErrorKind::source_failed, "QEMU did not take a request");
  }
  return {};
}

/// At least one byte, or 0 if none came until `deadline`.
Result<std::size_t> MemorySession::receive(std::span<std::byte> bytes, Clock::time_point deadline) {
  for (;;) {
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) {
      return static_cast<std::size_t>(got);
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      return break_off(ErrorKind::source_failed, "QEMU closed the session");
    }
    const auto ready = wait_for_fd(socket_.get(), POLLIN, deadline);
    if (!ready) {
      broken_ = true;
      return tl::unexpected{ready.error()};
    }
    if (!*ready) {
      return 0;
    }
  }
}

bool MemorySession::in_step() {
  std::byte byte{};
  const ssize_t got = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  const bool silent = got < 0 && (errno == EAGAIN || errno == EINTR);
  broken_ = broken_ || !silent;
  return !broken_;
}

ucred MemorySession::peer() const {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  static_cast<void>(::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size));
  return credentials;
}

tl::unexpected<Error> MemorySession::break_off(ErrorKind kind, std::string_view why) {
  broken_ = true;
  return fail(kind, kOrigin, std::string{why});
}

} // namespace vmemfs::pmemaccess
