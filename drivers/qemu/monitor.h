// SPDX-License-Identifier: MIT
// How the driver talks to QEMU: groups of monitor commands, with or without holding the socket.
//
// A monitor socket serves one client at a time, so by default each group of commands connects, runs and
// disconnects: the user's own monitor is never held. With keep, the socket is ours alone; then it stays
// connected, and QEMU's events are handed out.
//
// Monitor is thread-safe: sessions are serialised, and waiting for one's turn has the same time limit
// as waiting for QEMU. A MonitorSession belongs to one thread and holds the turn while it lives: use it
// and let it go. A thread must not open a second session while it has one.
//
// Events are handed out one after the other, in QEMU's order, by whoever has the turn and finds them on
// the connection: the session that is open, or a thread of the monitor's own in between. All that arrived
// before a command is sent has been handed out by then, and all that QEMU sent before its answer has been
// when the command returns.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "driver/driver.h"
#include "drivers/qemu/chardev.h"
#include "drivers/qemu/qemu_vcpu.h"
#include "drivers/qemu/qmp_connection.h"
#include "drivers/qemu/timed_lock.h"
#include "host/hva.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vmemfs::qemu {

/// Commands to one QEMU over one connection. Each method has the monitor's time limit as a whole.
/// Errors: see QmpConnection; source_failed too where an answer has not the shape it must have.
class MonitorSession {
public:
  MonitorSession(std::unique_lock<TimedLock> lock, std::shared_ptr<QmpConnection> connection,
                 std::chrono::milliseconds timeout)
      : lock_{std::move(lock)}, connection_{std::move(connection)}, timeout_{timeout} {}

  [[nodiscard]] Result<RunStatus> run_status();

  /// Both return when the VM is in that state, and do nothing to a VM that already is.
  [[nodiscard]] Result<void> stop();
  [[nodiscard]] Result<void> cont();

  /// Text of `info mtree -f`, for parse_mtree().
  [[nodiscard]] Result<std::string> mtree();

  /// Where QEMU has each address in its own memory; nullopt where that address is not RAM.
  [[nodiscard]] Result<std::vector<std::optional<Hva>>> gpa2hva(std::span<const Gpa> gpas);

  /// Where the mapped memory BARs of all PCI functions are, behind bridges too, sorted.
  [[nodiscard]] Result<std::vector<GpaRange>> pci_bars();

  /// Names of the memory backends (`-object memory-backend-*`), guest RAM among them.
  [[nodiscard]] Result<std::vector<std::string>> memory_backend_ids();

  /// Text of `info registers -a`, for parse_info_registers(). Does not stop the VM.
  [[nodiscard]] Result<std::string> registers_text();

  [[nodiscard]] Result<std::vector<QemuVcpu>> vcpus(); ///< the numbers have gaps where some were unplugged
  [[nodiscard]] Result<std::string> name();            ///< empty if QEMU was given none
  [[nodiscard]] Result<std::string> uuid();            ///< empty if QEMU was given none
  [[nodiscard]] pid_t peer_pid() const { return connection_->peer_pid(); }
  [[nodiscard]] const std::string& qemu_version() const { return connection_->qemu_version(); }

  [[nodiscard]] Result<std::string> architecture(); ///< of the guest: "x86_64", "i386", "aarch64", ...
  [[nodiscard]] Result<std::vector<Chardev>> chardevs();
  /// Gives QEMU a connected socket as chardev `id`. `fd` stays the caller's.
  [[nodiscard]] Result<void> add_socket_chardev(const std::string& id, int fd);
  [[nodiscard]] Result<void> remove_chardev(const std::string& id);

  /// Lets QEMU keep a duplicate of `fd`, even after this process has ended; replaces that of the same name.
  [[nodiscard]] Result<void> keep_fd(const std::string& name, int fd);
  [[nodiscard]] Result<void> close_fd(const std::string& name);

  /// Any command of the human monitor: what it prints.
  [[nodiscard]] Result<std::string> human(std::string_view command_line);

  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }

private:
  using Clock = QmpConnection::Clock;

  [[nodiscard]] Clock::time_point deadline() const { return Clock::now() + timeout_; }
  [[nodiscard]] Result<RunStatus> run_status(Clock::time_point deadline);
  [[nodiscard]] Result<void> change_state(std::string_view command, bool running);

  std::unique_lock<TimedLock> lock_;
  std::shared_ptr<QmpConnection> connection_;
  std::chrono::milliseconds timeout_;
};

class Monitor {
public:
  /// Name of an event that we make ourselves: a kept connection broke, so events may have been missed.
  /// The next session connects anew.
  static constexpr std::string_view kConnectionLost = "(connection lost)";

  /// Connects to nothing yet; a kept connection starts with the first session. `on_event` is only used
  /// with `keep`; it runs on any thread that uses the monitor, or on the monitor's own, while the turn is
  /// taken: it must return soon and not open a session.
  Monitor(std::string path, std::chrono::milliseconds timeout, bool keep, QmpEventHandler on_event = {});
  ~Monitor(); ///< no session may be left
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// Waits for its turn and connects where need be. timed_out: others used up the time.
  [[nodiscard]] Result<MonitorSession> session();

  // For single commands.
  [[nodiscard]] Result<RunStatus> run_status();
  [[nodiscard]] Result<void> stop();
  [[nodiscard]] Result<void> cont();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool keeps_connection() const { return keep_; }

private:
  using Clock = QmpConnection::Clock;

  [[nodiscard]] Result<std::shared_ptr<QmpConnection>> connect(Clock::time_point deadline);
  [[nodiscard]] Result<std::shared_ptr<QmpConnection>> kept_connection(Clock::time_point deadline);
  void watch_events(const std::stop_token& stop);
  void drop(const std::shared_ptr<QmpConnection>& connection);
  void take_events_of(QmpConnection& connection);
  void hand_out(const QmpEvent& event);
  void wake() const;

  const std::string path_;
  const std::chrono::milliseconds timeout_;
  const bool keep_;
  const QmpEventHandler on_event_;
  TimedLock session_lock_; ///< held by the session; guards the use of connections
  std::mutex mutex_;       ///< guards kept_; never held while waiting
  std::shared_ptr<QmpConnection> kept_;
  UniqueFd wake_; ///< eventfd: kept_ changed, or the end
  std::jthread thread_;
};

} // namespace vmemfs::qemu
