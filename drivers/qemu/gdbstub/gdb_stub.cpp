// SPDX-License-Identifier: MIT
#include "drivers/qemu/gdbstub/gdb_stub.h"

#include "core/text.h"
#include "drivers/qemu/monitor/chardev.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <fmt/format.h>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::string_view kDisconnected = "disconnected:";
constexpr std::size_t kMaxShownName = 120;

/// Time for the visit of a process that died to end, and for QEMU to notice that.
constexpr std::chrono::milliseconds kVisitTime{100};

enum class StubUse : unsigned char {
  off,
  left_behind, ///< an earlier visit's chardev is still there
  visited,     ///< by another vmemfs
  listening,   ///< the user's, without a client
};

struct Stub {
  StubUse use = StubUse::off;
  std::string user_chardev; ///< empty if the stub is not the user's
};

/// True for a chardev on a socket that speaks the stub's protocol itself, without telnet or websocket.
bool is_plain_socket(std::string_view filename) {
  constexpr auto kKinds = std::to_array<std::string_view>({"tcp:", "unix:", "fd:", "vsock:"});
  return std::ranges::any_of(kKinds, [&](std::string_view kind) { return filename.starts_with(kind); });
}

Result<Stub> users_stub(const Chardev& chardev) {
  std::string_view name = chardev.filename;
  const bool connected = !name.starts_with(kDisconnected);
  if (!connected) {
    name.remove_prefix(kDisconnected.size());
  }
  if (!is_plain_socket(name) || (!connected && name.find(",server") == std::string_view::npos)) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("cannot use QEMU's only gdbstub: it is on '{}', which is not a listening socket; "
                            "run the monitor command 'gdbserver none' to end that",
                            printable(name, kMaxShownName)));
  }
  if (!connected) {
    return Stub{StubUse::listening, chardev.id};
  }
  if (name.starts_with("unix:,")) { // a client on a socket without a path was passed by add_client
    return Stub{StubUse::visited, chardev.id};
  }
  return fail(ErrorKind::busy, kOrigin,
              fmt::format("a debugger is connected to QEMU's only gdbstub ('{}'); write with that debugger, "
                          "or try again when it has disconnected",
                          printable(name, kMaxShownName)));
}

Result<Stub> find_stub(std::span<const Chardev> chardevs, std::span<const std::string> user_chardevs) {
  for (const std::string& id : user_chardevs) {
    const auto users = std::ranges::find(chardevs, id, &Chardev::id);
    if (users != chardevs.end()) {
      return users_stub(*users);
    }
  }
  const auto ours = std::ranges::find(chardevs, kVisitChardev, &Chardev::id);
  if (ours == chardevs.end()) {
    return Stub{};
  }
  return Stub{ours->filename.starts_with(kDisconnected) ? StubUse::left_behind : StubUse::visited, {}};
}

Result<Stub> query_stub(MonitorSession& session, std::span<const std::string> user_chardevs) {
  return session.chardevs().and_then(
      [&](const std::vector<Chardev>& chardevs) { return find_stub(chardevs, user_chardevs); });
}

/// Gives another vmemfs time to end its visit, and returns the stub's state afterwards. If that process has
/// died, its visit to the user's stub ends by itself; of one to a stub of ours, only QEMU itself still has
/// the other end of the socket pair, so that is closed.
Result<Stub> wait_for_stub(MonitorSession& session, std::span<const std::string> user_chardevs) {
  std::this_thread::sleep_for(kVisitTime);
  auto stub = query_stub(session, user_chardevs);
  if (!stub || stub->use != StubUse::visited || !stub->user_chardev.empty() || !session.close_fd(kOurEnd)) {
    return stub;
  }
  std::this_thread::sleep_for(kVisitTime);
  return query_stub(session, user_chardevs);
}

Result<std::string> still_visited(const Stub& stub) {
  if (!stub.user_chardev.empty()) {
    return fail(
        ErrorKind::busy, kOrigin,
        "another vmemfs is using QEMU's only gdbstub, or a debugger on an abstract socket; try again");
  }
  return fail(ErrorKind::busy, kOrigin,
              "another vmemfs is using the gdbstub of this VM; try again (if there is none, one has died: "
              "run the monitor commands 'gdbserver none' and 'chardev-remove vmemfs-gdb')");
}

} // namespace

Result<std::string> claim_stub(MonitorSession& session, std::span<const std::string> user_chardevs) {
  auto stub = query_stub(session, user_chardevs);
  if (stub && stub->use == StubUse::visited) {
    stub = wait_for_stub(session, user_chardevs);
  }
  if (!stub) {
    return tl::unexpected{stub.error()};
  }
  if (stub->use == StubUse::visited) {
    return still_visited(*stub);
  }
  if (stub->use != StubUse::left_behind || session.remove_chardev(std::string{kVisitChardev})) {
    return std::move(stub->user_chardev);
  }
  // QEMU has given the chardev to the stub already.
  return session.human("gdbserver none").map([](const std::string&) { return std::string{}; });
}

bool debugger_is_connected(MonitorSession& session, std::span<const std::string> user_chardevs) {
  const auto chardevs = session.chardevs();
  if (!chardevs) {
    return false;
  }
  const auto stub = find_stub(*chardevs, user_chardevs);
  return !stub && stub.error().kind == ErrorKind::busy;
}

} // namespace vmemfs::qemu
