// SPDX-License-Identifier: MIT
// Client connection to one QMP monitor (QEMU's JSON protocol), on a UNIX socket or a TCP port of this host.
//
// Format: QEMU's docs/interop/qmp-spec. One JSON object per line; of a monitor with pretty=on over several
// lines, of which the first is "{", the last "}", and all others are indented. The greeting comes first, then
// answers (matched to commands by "id") and events in any order.
//
// The peer is not trusted: whole exchanges are limited in time, messages in size, JSON in depth, and
// every member is type-checked. A monitor serves one client at a time; another client that connects gets no
// greeting until the first one disconnects.
//
// Not thread-safe. Nothing here raises SIGPIPE.
//
// Errors of execute(): timed_out (the connection stays usable, the late answer is skipped), unsupported (QEMU
// has no such command), source_failed (QEMU refused the command, or the connection is broken: see broken()).
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs {

/// An unsolicited message of QEMU, such as STOP, RESUME, RESET or SHUTDOWN.
struct QmpEvent {
  std::string name;
  std::string data; ///< the event's data as JSON text; empty if there is none
};

using QmpEventHandler = std::function<void(const QmpEvent&)>;

class QmpConnection {
public:
  using Clock = std::chrono::steady_clock;

  /// Connects to the monitor at `address` (see qmp_address.h), waits for the greeting and leaves negotiation
  /// mode, all by `deadline`. busy: no greeting came (another client uses this monitor). not_found: there is
  /// no socket, or no process listens on it. permission: access denied. `check` is called after the greeting,
  /// with the socket and the pid that listens (0: unknown, as on TCP), before anything is sent; if it fails,
  /// so does this.
  using PeerCheck = std::function<Result<void>(int socket, pid_t listener)>;
  static Result<QmpConnection> open(const std::string& address, Clock::time_point deadline,
                                    const PeerCheck& check = {});

  /// Receives the events that arrive during the exchanges of this connection. Without a handler they are
  /// dropped.
  void set_event_handler(QmpEventHandler handler) { on_event_ = std::move(handler); }

  /// Runs one command; `arguments` is an object, or null for none. `pass_fd` is sent as SCM_RIGHTS (for
  /// getfd), on UNIX sockets only; the caller keeps it. Returns the "return" member of the answer.
  Result<nlohmann::json> execute(std::string_view command, const nlohmann::json& arguments,
                                 Clock::time_point deadline, std::optional<int> pass_fd = std::nullopt);

  /// Runs a command of the human monitor (HMP) and returns its output.
  Result<std::string> human(std::string_view command_line, Clock::time_point deadline);

  /// Handles the events that have already arrived, without waiting. Fails if the connection broke.
  Result<void> drain_events();

  /// Pid of the process that listens on the socket (SO_PEERCRED), in this process's pid namespace; 0 if
  /// unknown, as it is on TCP.
  [[nodiscard]] pid_t peer_pid() const { return peer_pid_; }

  /// "7.2.22", from the greeting.
  [[nodiscard]] const std::string& qemu_version() const { return version_; }

  /// True if the stream is no longer usable (closed, malformed data, half a command sent).
  [[nodiscard]] bool broken() const { return broken_; }

  /// For poll(): readable when events wait or the connection ended.
  [[nodiscard]] int fd() const { return socket_.get(); }

private:
  QmpConnection(UniqueFd socket, pid_t peer_pid) : socket_{std::move(socket)}, peer_pid_{peer_pid} {}

  Result<void> negotiate(Clock::time_point deadline, const PeerCheck& check);
  Result<void> send(std::string_view line, Clock::time_point deadline, std::optional<int> pass_fd);
  Result<nlohmann::json> answer_to(std::uint64_t id, std::string_view command, Clock::time_point deadline);
  Result<nlohmann::json> receive(Clock::time_point deadline);
  Result<void> take_buffered_events();
  Result<bool> fill();
  std::optional<std::string_view> take_message();
  Result<nlohmann::json> parse(std::string_view text);
  void deliver(const nlohmann::json& message);
  tl::unexpected<Error> break_off(ErrorKind kind, std::string text);

  UniqueFd socket_;
  pid_t peer_pid_ = 0;
  std::string version_;
  std::string buffer_;       ///< bytes received and not consumed yet, from consumed_ on
  std::size_t consumed_ = 0; ///< bytes of buffer_ that belong to earlier messages
  std::size_t scanned_ = 0;  ///< no end of a message in buffer_ before this
  std::uint64_t next_id_ = 1;
  bool broken_ = false;
  QmpEventHandler on_event_;
};

} // namespace vmemfs
