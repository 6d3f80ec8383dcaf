// SPDX-License-Identifier: MIT
#include "drivers/qemu/gdbstub/gdb_visit.h"

#include "core/text.h"
#include "drivers/qemu/gdbstub/gdb_exchange.h"
#include "drivers/qemu/gdbstub/gdb_stub.h"
#include "drivers/qemu_protocol/gdb_packets.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <string>
#include <sys/socket.h>
#include <utility>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "gdbstub";

/// Tries to become the client of the user's stub, while a debugger connects and disconnects.
constexpr int kTries = 4;

/// What a visit is made with.
struct Visit {
  MonitorSession& session;
  std::span<const std::string> user_chardevs;
  GdbScript script;
  RunStatus before;
  bool free_again = false; ///< QEMU refused a client, and now the stub has none
};

void close_our_end(MonitorSession& session) {
  const MonitorSession::PutBack own_time{session};
  static_cast<void>(session.close_fd(kOurEnd));
}

/// Starts the stub on the chardev. If that succeeds, QEMU processes the packets in the socket; if it fails,
/// `refused` is true if QEMU refused (and nothing happened), false if the outcome is unknown.
Result<void> start_stub(MonitorSession& session, bool& refused) {
  const auto answer = session.human(fmt::format("gdbserver chardev:{}", kVisitChardev));
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

Result<void> visit_own_stub(Visit& visit, GdbVisit& result) {
  MonitorSession& session = visit.session;
  auto sockets = offer_packets(session, visit.script.bytes());
  if (!sockets) {
    return tl::unexpected{sockets.error()};
  }
  if (auto added = session.add_socket_chardev(std::string{kVisitChardev}, sockets->qemus.get()); !added) {
    close_our_end(session);
    return added;
  }
  sockets->qemus.reset();
  bool refused = false;
  auto done = start_stub(session, refused).and_then([&] {
    return read_replies(sockets->ours.get(), visit.script.packets(), session.deadline(), result.replies);
  });
  result.started = !refused;
  if (refused) {
    const MonitorSession::PutBack own_time{session};
    static_cast<void>(session.remove_chardev(std::string{kVisitChardev}));
    static_cast<void>(session.close_fd(kOurEnd));
    return done;
  }
  auto restored = put_back(session, visit.before);
  return done ? restored : done;
}

/// QEMU refuses if a debugger has connected meanwhile, which may be gone by now.
Error refusal(Visit& visit, const Error& why) {
  const MonitorSession::PutBack own_time{visit.session};
  const auto claimed = claim_stub(visit.session, visit.user_chardevs);
  visit.free_again = claimed.has_value();
  return claimed ? Error{ErrorKind::source_failed, std::string{kOrigin},
                         fmt::format("QEMU did not connect its gdbstub: {}", why.text)}
                 : claimed.error();
}

/// After a visit to the user's stub of which it is unknown how far QEMU is. The duplicate of our end stays
/// with QEMU, so that it does not drop what it has not read. If it continues later, it ends the visit by
/// itself, and the VM runs then, too.
void resume_unless_debugged(Visit& visit) {
  MonitorSession& session = visit.session;
  const MonitorSession::PutBack own_time{session};
  const auto now = session.run_status();
  if (visit.before.running && now && !now->running && now->detail == "paused" &&
      !debugger_is_connected(session, visit.user_chardevs)) {
    static_cast<void>(session.cont());
  }
}

/// Here nobody has to give the stub back: the end of the stream is behind the last packet, and QEMU then
/// disconnects and listens again. After that the VM may be stopped by a debugger, so its state is not
/// restored, except if the last packet, which does it, was not answered.
Result<void> visit_users_stub(Visit& visit, const std::string& chardev, GdbVisit& result) {
  MonitorSession& session = visit.session;
  auto sockets = offer_packets(session, visit.script.bytes());
  if (!sockets) {
    return tl::unexpected{sockets.error()};
  }
  if (::shutdown(sockets->ours.get(), SHUT_WR) != 0) {
    const int error = errno;
    close_our_end(session);
    return fail_errno(error, kOrigin, "cannot end the packets for QEMU's gdbstub");
  }
  auto done = session.add_client(chardev, sockets->qemus.get());
  sockets->qemus.reset(); // else it would stay open after QEMU has disconnected
  if (!done && session.refused(done.error())) {
    close_our_end(session);
    return tl::unexpected{refusal(visit, done.error())};
  }
  result.started = true;
  if (done) {
    done = read_replies(sockets->ours.get(), visit.script.packets(), session.deadline(), result.replies);
  }
  if (!done) {
    resume_unless_debugged(visit);
    return done;
  }
  wait_for_disconnect(sockets->ours.get(), session.deadline());
  close_our_end(session);
  return {};
}

/// One try. `free_again`: as in Visit.
Result<void> try_script(MonitorSession& session, GdbScript script, std::span<const std::string> user_chardevs,
                        GdbVisit& result, bool& free_again) {
  const auto first = session.run_status();
  if (!first) {
    return tl::unexpected{first.error()};
  }
  const auto chardev = claim_stub(session, user_chardevs);
  if (!chardev) {
    return tl::unexpected{chardev.error()};
  }
  const auto before = session.run_status();
  if (!before) {
    return tl::unexpected{before.error()};
  }
  if (!chardev->empty() && first->running != before->running) {
    // A debugger is about to stop or to resume the VM: what the visit is to restore is unknown.
    free_again = true;
    return fail(ErrorKind::busy, kOrigin, "the VM was paused or resumed meanwhile; try again");
  }
  if (before->running) {
    script.add("D;1"); // resumes the VM; any byte after this, even an ack, would stop it again
  }
  Visit visit{session, user_chardevs, std::move(script), *before};
  auto done = chardev->empty() ? visit_own_stub(visit, result) : visit_users_stub(visit, *chardev, result);
  free_again = visit.free_again;
  return done;
}

Result<void> run_script(MonitorSession& session, const GdbScript& script,
                        std::span<const std::string> user_chardevs, GdbVisit& result) {
  if (script.bytes().size() > GdbScript::kMaxBytes) {
    return fail(ErrorKind::invalid, kOrigin, "too many packets for one visit to the gdbstub");
  }
  for (int tries = 1;; ++tries) {
    bool free_again = false;
    auto done = try_script(session, script, user_chardevs, result, free_again);
    if (done || !free_again || tries == kTries) {
      return done;
    }
  }
}

} // namespace

void GdbScript::add(std::string_view payload) {
  bytes_ += gdb_packet(payload);
  ++packets_;
}

GdbVisit visit_gdbstub(MonitorSession& session, const GdbScript& script,
                       std::span<const std::string> user_chardevs) {
  GdbVisit visit;
  const auto done = run_script(session, script, user_chardevs, visit);
  // Without the reply to the final packet.
  visit.replies.resize(std::min(visit.replies.size(), script.packets()));
  if (!done) {
    visit.failure = done.error();
  }
  return visit;
}

} // namespace vmemfs::qemu
