// SPDX-License-Identifier: MIT
// QMP monitor of a patched QEMU: what pmemaccess does not give, and the command that opens the memory socket.
//
// A monitor serves one client at a time, so each group of commands connects, runs and disconnects. With keep
// the connection stays, and QEMU's events are delivered.
//
// QemuMonitor is thread-safe; sessions are serialised, within the time limit. A MonitorSession belongs to one
// thread; a thread must not open a second one while it has one.
#pragma once

#include "core/error.h"
#include "core/vcpu_set.h"
#include "driver/driver.h"
#include "drivers/qemu_protocol/qmp_connection.h"
#include "util/timed_lock.h"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::pmemaccess {

/// The process at the other end of the monitor (SO_PEERCRED): QEMU, or the manager that opened the socket for
/// it. pid 0: unknown.
struct MonitorPeer {
  pid_t pid = 0;
  uid_t uid = 0;
};

/// Commands over one connection, which have one time limit together. Errors: see QmpConnection; also
/// source_failed if an answer does not have the expected form.
class MonitorSession {
public:
  using Clock = QmpConnection::Clock;

  MonitorSession(TimedLock::Owner lock, std::shared_ptr<QmpConnection> connection, MonitorPeer peer,
                 Clock::time_point deadline)
      : lock_{std::move(lock)}, connection_{std::move(connection)}, peer_{peer}, deadline_{deadline} {}

  /// Makes QEMU listen at `path`. unsupported: this QEMU does not have the patch.
  [[nodiscard]] Result<void> open_memory(const std::string& path);

  [[nodiscard]] Result<RunStatus> run_status();
  /// Both return the state after the command, and do nothing if the VM is in it already.
  [[nodiscard]] Result<RunStatus> stop();
  [[nodiscard]] Result<RunStatus> cont();

  [[nodiscard]] Result<std::string> mtree();          ///< for parse_mtree()
  [[nodiscard]] Result<std::string> registers_text(); ///< for parse_info_registers()
  [[nodiscard]] Result<VcpuSet> vcpus();
  [[nodiscard]] Result<std::string> name();         ///< empty: QEMU was given none
  [[nodiscard]] Result<std::string> uuid();         ///< the same
  [[nodiscard]] Result<std::string> architecture(); ///< of the guest, such as "x86_64"
  [[nodiscard]] Result<bool> uses_kvm();
  [[nodiscard]] Result<bool> migrates(); ///< a migration is under way

  [[nodiscard]] const std::string& qemu_version() const { return connection_->qemu_version(); }
  [[nodiscard]] const MonitorPeer& peer() const { return peer_; }

private:
  TimedLock::Owner lock_;
  std::shared_ptr<QmpConnection> connection_;
  MonitorPeer peer_;
  Clock::time_point deadline_;
};

class QemuMonitor {
public:
  using Clock = QmpConnection::Clock;

  /// `address`: see qmp_address.h. `on_event` is called with `keep` only, on any thread that uses the
  /// monitor, while a session is open: it must return soon and must not open one. Does not connect.
  QemuMonitor(std::string address, std::chrono::milliseconds timeout, bool keep, QmpEventHandler on_event)
      : address_{std::move(address)}, timeout_{timeout}, keep_{keep}, on_event_{std::move(on_event)} {}

  /// Waits for other sessions and connects, all with the time limit. busy: another client has the monitor, or
  /// other sessions took the time. not_found: no process listens on it.
  [[nodiscard]] Result<MonitorSession> session() EXCLUDES(lock_);

  /// Delivers the events that a kept connection has received; waits for nobody.
  void take_events() EXCLUDES(lock_);

  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }
  [[nodiscard]] bool keeps() const { return keep_; }

  /// Name of an event that is not QEMU's: the kept connection broke, so events may be lost.
  static constexpr std::string_view kConnectionLost = "(connection lost)";

private:
  [[nodiscard]] Result<void> connect(Clock::time_point deadline) REQUIRES(lock_);

  const std::string address_;
  const std::chrono::milliseconds timeout_;
  const bool keep_;
  const QmpEventHandler on_event_;
  TimedLock lock_; ///< held by the session
  std::shared_ptr<QmpConnection> kept_ GUARDED_BY(lock_);
  MonitorPeer peer_ GUARDED_BY(lock_);
};

} // namespace vmemfs::pmemaccess
