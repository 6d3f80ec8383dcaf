// SPDX-License-Identifier: MIT
#include "drivers/qemu/gdbstub/gdb_exchange.h"

#include "drivers/qemu/gdbstub/gdb_stub.h"
#include "drivers/qemu_protocol/gdb_packets.h"
#include "util/fd_wait.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "gdbstub";

/// True for the stub's unsolicited report that the VM stopped.
bool is_stop_report(std::string_view payload) {
  return payload.starts_with('T') || payload.starts_with('S') || payload.starts_with('W');
}

} // namespace

Result<ScriptSockets> offer_packets(MonitorSession& session, std::string_view packets) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail_errno(errno, kOrigin, "cannot create a socket pair");
  }
  ScriptSockets sockets{UniqueFd{fds[0]}, UniqueFd{fds[1]}};
  const ssize_t sent =
      ::send(sockets.ours.get(), packets.data(), packets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(packets.size())) {
    return fail(ErrorKind::source_failed, kOrigin, "a new socket pair did not accept the packets");
  }
  if (auto kept = session.keep_fd(kOurEnd, sockets.ours.get()); !kept) {
    return tl::unexpected{std::move(kept.error())};
  }
  return sockets;
}

Result<void> read_replies(int socket, std::size_t count, std::chrono::steady_clock::time_point deadline,
                          std::vector<std::string>& replies) {
  GdbPacketReader reader;
  while (replies.size() < count) {
    auto packet = reader.next();
    if (!packet) {
      return tl::unexpected{std::move(packet.error())};
    }
    if (*packet) {
      if (!is_stop_report(**packet)) {
        replies.push_back(std::move(**packet));
      }
      continue;
    }
    const auto ready = wait_for_fd(socket, POLLIN, deadline);
    // Checked even if there is always something to read, but never the expected reply.
    if (!ready || !*ready || std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorKind::timed_out, kOrigin, "QEMU's gdbstub did not answer within the time limit");
    }
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
      return fail(ErrorKind::source_failed, kOrigin, "QEMU closed the connection of its gdbstub");
    }
    reader.feed({bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
  }
  return {};
}

void wait_for_disconnect(int socket, std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const auto ready = wait_for_fd(socket, POLLIN, deadline);
    std::array<char, 4096> bytes{};
    if (!ready || !*ready || std::chrono::steady_clock::now() >= deadline ||
        ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT) <= 0) {
      return;
    }
  }
}

} // namespace vmemfs::qemu
