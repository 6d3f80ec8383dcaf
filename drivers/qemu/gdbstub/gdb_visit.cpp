// SPDX-License-Identifier: MIT
#include "drivers/qemu/gdbstub/gdb_visit.h"

#include "core/text.h"
#include "drivers/qemu_protocol/gdb_packets.h"
#include "util/fd_wait.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fmt/format.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::string_view kChardev = "vmemfs-gdb";
constexpr const char* kOurEnd =
    "vmemfs-gdb-end"; ///< name in QEMU of its duplicate of our end of the socket pair
constexpr std::string_view kUserChardev =
    "gdb"; ///< QEMU's name for the chardev of -s, -gdb and `gdbserver DEVICE`

/// Time for the visit of a process that died to end, and for QEMU to notice that.
constexpr std::chrono::milliseconds kVisitTime{100};

enum class Stub : unsigned char { free, left_behind, in_use };

Result<Stub> query_stub(MonitorSession& session) {
  const auto chardevs = session.chardevs();
  if (!chardevs) {
    return tl::unexpected{chardevs.error()};
  }
  if (std::ranges::find(*chardevs, kUserChardev, &Chardev::id) != chardevs->end()) {
    return fail(ErrorKind::busy, kOrigin,
                "the gdbstub of this QEMU is in use (-s, -gdb or the monitor command gdbserver); run the "
                "monitor command 'gdbserver none' to end that");
  }
  const auto ours = std::ranges::find(*chardevs, kChardev, &Chardev::id);
  if (ours == chardevs->end()) {
    return Stub::free;
  }
  return ours->filename.starts_with("disconnected:") ? Stub::left_behind : Stub::in_use;
}

/// Gives another vmemfs time to end its visit, and returns the stub's state afterwards. If that process has
/// died, only QEMU itself still has the other end of the socket pair, so that is closed.
Result<Stub> wait_for_stub(MonitorSession& session) {
  std::this_thread::sleep_for(kVisitTime);
  auto stub = query_stub(session);
  if (stub != Stub::in_use || !session.close_fd(kOurEnd)) {
    return stub;
  }
  std::this_thread::sleep_for(kVisitTime);
  return query_stub(session);
}

/// Refuses if another client uses the gdbstub; removes what an earlier vmemfs left behind.
Result<void> claim_stub(MonitorSession& session) {
  auto stub = query_stub(session);
  if (stub == Stub::in_use) {
    stub = wait_for_stub(session);
  }
  if (!stub) {
    return tl::unexpected{stub.error()};
  }
  if (stub == Stub::in_use) {
    return fail(ErrorKind::busy, kOrigin,
                "another vmemfs is using the gdbstub of this VM; try again (if there is none, one has died: "
                "run the monitor commands 'gdbserver none' and 'chardev-remove vmemfs-gdb')");
  }
  if (stub == Stub::free || session.remove_chardev(std::string{kChardev})) {
    return {};
  }
  // QEMU has given the chardev to the stub already.
  return session.human("gdbserver none").map([](const std::string&) {});
}

/// A socket with the script in its buffer; its other end is passed to QEMU as a chardev.
Result<UniqueFd> offer_script(MonitorSession& session, const GdbScript& script) {
  if (script.bytes().size() > GdbScript::kMaxBytes) {
    return fail(ErrorKind::invalid, kOrigin, "too many packets for one visit to the gdbstub");
  }
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return fail_errno(errno, kOrigin, "cannot create a socket pair");
  }
  UniqueFd ours{fds[0]};
  const UniqueFd qemus{fds[1]};
  const ssize_t sent =
      ::send(ours.get(), script.bytes().data(), script.bytes().size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(script.bytes().size())) {
    return fail(ErrorKind::source_failed, kOrigin, "a new socket pair did not accept the packets");
  }
  if (auto kept = session.keep_fd(kOurEnd, ours.get()); !kept) {
    return tl::unexpected{std::move(kept.error())};
  }
  if (auto added = session.add_socket_chardev(std::string{kChardev}, qemus.get()); !added) {
    const MonitorSession::PutBack own_time{session};
    static_cast<void>(session.close_fd(kOurEnd));
    return tl::unexpected{std::move(added.error())};
  }
  return ours;
}

/// Starts the stub on the chardev. If that succeeds, QEMU processes the packets in the socket; if it fails,
/// `refused` is true if QEMU refused (and nothing happened), false if the outcome is unknown.
Result<void> start_stub(MonitorSession& session, bool& refused) {
  const auto answer = session.human(fmt::format("gdbserver chardev:{}", kChardev));
  if (!answer) {
    return tl::unexpected{answer.error()};
  }
  if (answer->starts_with("Waiting for gdb connection")) {
    return {};
  }
  refused = true;
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("QEMU did not start its gdbstub: {}", printable(trim(*answer), 200)));
}

/// True for the stub's unsolicited report that the VM stopped.
bool is_stop_report(std::string_view payload) {
  return payload.starts_with('T') || payload.starts_with('S') || payload.starts_with('W');
}

/// Appends to `replies` until it has `count` entries.
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

/// Removes the stub and restores the VM's run state. Continues after errors.
Result<void> put_back(MonitorSession& session, const RunStatus& before) {
  const MonitorSession::PutBack own_time{session};
  const auto ended = session.human("gdbserver none");
  const auto closed = session.close_fd(kOurEnd);
  const auto now = session.run_status();
  Result<void> state; // the guest comes first, whatever happened to the stub
  if (!now) {
    state = tl::unexpected{now.error()};
  } else if (before.running && !now->running && now->detail == "paused") {
    // A state other than "paused" means that the VM stopped for another reason.
    state = session.cont().map([](const RunStatus&) {});
  } // A VM that was paused and runs now was resumed by another client: vmemfs never does that.
  if (!ended) {
    return tl::unexpected{ended.error()};
  }
  return closed ? state : closed;
}

Result<void> run_script(MonitorSession& session, GdbScript script, GdbVisit& visit) {
  const auto before = session.run_status();
  if (!before) {
    return tl::unexpected{before.error()};
  }
  if (before->running) {
    script.add("D;1"); // resumes the VM; any byte after this, even an ack, would stop it again
  }
  const auto socket = offer_script(session, script);
  if (!socket) {
    return tl::unexpected{socket.error()};
  }
  bool refused = false;
  auto done = start_stub(session, refused).and_then([&] {
    return read_replies(socket->get(), script.packets(), session.deadline(), visit.replies);
  });
  visit.started = !refused;
  if (refused) {
    const MonitorSession::PutBack own_time{session};
    static_cast<void>(session.remove_chardev(std::string{kChardev}));
    static_cast<void>(session.close_fd(kOurEnd));
    return done;
  }
  auto restored = put_back(session, *before);
  return done ? restored : done;
}

} // namespace

void GdbScript::add(std::string_view payload) {
  bytes_ += gdb_packet(payload);
  ++packets_;
}

GdbVisit visit_gdbstub(MonitorSession& session, GdbScript script) {
  const std::size_t packets = script.packets();
  GdbVisit visit;
  const auto done =
      claim_stub(session).and_then([&] { return run_script(session, std::move(script), visit); });
  visit.replies.resize(std::min(visit.replies.size(), packets)); // without the reply to the final packet
  if (!done) {
    visit.failure = done.error();
  }
  return visit;
}

} // namespace vmemfs::qemu
