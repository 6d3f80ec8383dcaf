// SPDX-License-Identifier: MIT
// Client of QEMU's monitor: groups of commands, with or without keeping the connection.
//
// A monitor socket serves one client at a time, so by default each group of commands connects, runs and
// disconnects: the socket stays available to other clients. With keep, vmemfs is the only client; the
// connection stays open, and QEMU's events are delivered.
//
// Monitor is thread-safe: sessions are serialised, and waiting for the session lock has the same time limit
// as waiting for QEMU. A MonitorSession belongs to one thread and holds the session lock until it is
// destroyed: keep it only briefly. A thread must not open a second session while it has one.
//
// Events are delivered one after the other, in QEMU's order, by the holder of the session lock: the open
// session, or between sessions the monitor's own thread. Events that arrived before a command is sent are
// delivered before it, and events that QEMU sent before its answer are delivered when the command returns.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "driver/driver.h"
#include "drivers/qemu/monitor/chardev.h"
#include "drivers/qemu/monitor/monitor_time.h"
#include "drivers/qemu/monitor/virtio_mem_device.h"
#include "drivers/qemu/qemu_vcpu.h"
#include "drivers/qemu_protocol/qmp_connection.h"
#include "host/hva.h"
#include "host/process.h"
#include "util/mutex.h"
#include "util/timed_lock.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs::qemu {

/// Commands to one QEMU over one connection. The monitor's time limit applies to each method as a whole, and
/// what is left of the operation's time (see MonitorTime). No command is sent when that is over.
/// Errors: see QmpConnection; also source_failed if an answer does not have the expected form.
class MonitorSession {
public:
  /// `path` is the monitor's, which lives longer.
  MonitorSession(TimedLock::Owner lock, std::shared_ptr<QmpConnection> connection, std::string_view path,
                 const MonitorTime& time)
      : lock_{std::move(lock)}, connection_{std::move(connection)}, path_{path}, time_{time} {}

  /// While it exists, the session puts the guest back into the state that it had before the operation, which
  /// has time of its own: no guest stays stopped because the operation's time is over.
  class PutBack {
  public:
    explicit PutBack(MonitorSession& session)
        : timeouts_{session.time_.timeouts},
          before_{std::exchange(timeouts_, MonitorTime::kOperation + MonitorTime::kPutBack)} {}
    ~PutBack() { timeouts_ = before_; }
    PutBack(const PutBack&) = delete;
    PutBack& operator=(const PutBack&) = delete;

  private:
    int& timeouts_;
    const int before_;
  };

  [[nodiscard]] Result<RunStatus> run_status();

  /// Both return when the VM is in that state, and do nothing if it already is; in a state that QEMU leaves
  /// by itself they wait for that first. The target of a migration is stopped or runs when that ends: both
  /// return at once, with the status "inmigrate". unsupported: QEMU cannot do it in this state. busy: it does
  /// not leave a passing state. docs/qemu.md has a table of all states.
  [[nodiscard]] Result<RunStatus> stop();
  [[nodiscard]] Result<RunStatus> cont();

  /// Text of `info mtree -f`, for parse_mtree().
  [[nodiscard]] Result<std::string> mtree();

  /// The host virtual address in QEMU of each guest address; nullopt if that address is not RAM.
  [[nodiscard]] Result<std::vector<std::optional<Hva>>> gpa2hva(std::span<const Gpa> gpas);

  /// The mapped memory BARs of all PCI functions, including those behind bridges, sorted.
  [[nodiscard]] Result<std::vector<GpaRange>> pci_bars();

  /// Names of the memory backends (`-object memory-backend-*`), including those of guest RAM.
  [[nodiscard]] Result<std::vector<std::string>> memory_backend_ids();

  [[nodiscard]] Result<std::vector<VirtioMemDevice>> virtio_mem_devices();

  /// Text of `info registers -a`, for parse_info_registers(). Does not stop the VM.
  [[nodiscard]] Result<std::string> registers_text();

  [[nodiscard]] Result<std::vector<QemuVcpu>> vcpus(); ///< unplugged vCPUs leave gaps in the numbers
  [[nodiscard]] Result<std::string> name();            ///< empty if QEMU was given none
  [[nodiscard]] Result<std::string> uuid();            ///< empty if QEMU was given none
  [[nodiscard]] const std::string& qemu_version() const { return connection_->qemu_version(); }

  /// Whether `why` is the failure of a command that QEMU does not have or refused, or answered in an unknown
  /// form, so that the session continues without it. False if it did not answer, or the connection broke.
  [[nodiscard]] bool refused(const Error& why) const {
    return !connection_->broken() &&
           (why.kind == ErrorKind::unsupported || why.kind == ErrorKind::source_failed);
  }

  [[nodiscard]] Result<std::string> architecture(); ///< of the guest, such as "x86_64", "i386" or "aarch64"
  [[nodiscard]] Result<std::vector<Chardev>> chardevs();
  /// Passes a connected socket to QEMU as chardev `id`. The caller keeps `fd`.
  [[nodiscard]] Result<void> add_socket_chardev(const std::string& id, int fd);
  [[nodiscard]] Result<void> remove_chardev(const std::string& id);

  /// Passes a connected socket to QEMU as the client of chardev `id`, a listening socket. source_failed also
  /// if that has a client already. The caller keeps `fd`.
  [[nodiscard]] Result<void> add_client(const std::string& id, int fd);

  /// Makes QEMU keep a duplicate of `fd`, even after this process has ended; replaces an earlier one of the
  /// same name.
  [[nodiscard]] Result<void> keep_fd(const std::string& name, int fd);
  [[nodiscard]] Result<void> close_fd(const std::string& name);

  /// Runs any command of the human monitor (HMP) and returns its output.
  [[nodiscard]] Result<std::string> human(std::string_view command_line);

  /// The end of an exchange that begins now.
  [[nodiscard]] QmpConnection::Clock::time_point deadline() const { return time_.exchange_end(); }

private:
  using Clock = QmpConnection::Clock;

  [[nodiscard]] Result<RunStatus> run_status(Clock::time_point deadline);
  [[nodiscard]] Result<RunStatus> lasting_status(std::string_view action, Clock::time_point deadline);
  [[nodiscard]] Result<nlohmann::json> execute(std::string_view command, const nlohmann::json& arguments,
                                               Clock::time_point deadline,
                                               std::optional<int> pass_fd = std::nullopt);
  [[nodiscard]] Result<std::string> human(std::string_view command_line, Clock::time_point deadline);
  template <typename T> [[nodiscard]] Result<T> explained(Result<T> answer) const;

  TimedLock::Owner lock_;
  std::shared_ptr<QmpConnection> connection_;
  std::string_view path_;
  MonitorTime time_;
};

class Monitor {
public:
  /// Name of an event that does not come from QEMU: a kept connection broke, so events may be lost. The next
  /// session connects again.
  static constexpr std::string_view kConnectionLost = "(connection lost)";

  /// `path`: its address (qmp_address.h). `owner`: QEMU's process. Each connection must prove to be to it,
  /// see check_monitor_owner(). Does not connect; a kept connection starts with the first session. `on_event`
  /// is only used with `keep`; it runs on any thread that uses the monitor, or on the monitor's own, while
  /// the session lock is held: it must return soon and must not open a session.
  Monitor(std::string path, std::shared_ptr<const Process> owner, std::chrono::milliseconds timeout,
          bool keep, QmpEventHandler on_event = {});
  ~Monitor(); ///< no session may be left
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// For an operation that begins now, or that has begun already. Waits for the session lock and connects if
  /// necessary. busy: other sessions used up the time. timed_out: the operation itself did.
  [[nodiscard]] Result<MonitorSession> session() EXCLUDES(session_lock_) {
    return session(MonitorTime{timeout_});
  }
  [[nodiscard]] Result<MonitorSession> session(const MonitorTime& time) EXCLUDES(session_lock_);

  // For single commands.
  [[nodiscard]] Result<RunStatus> run_status() EXCLUDES(session_lock_);
  [[nodiscard]] Result<RunStatus> stop() EXCLUDES(session_lock_);
  [[nodiscard]] Result<RunStatus> cont() EXCLUDES(session_lock_);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool keeps_connection() const { return keep_; }

private:
  using Clock = QmpConnection::Clock;

  [[nodiscard]] Result<std::shared_ptr<QmpConnection>> connect(Clock::time_point deadline);
  [[nodiscard]] Result<std::shared_ptr<QmpConnection>> kept_connection(Clock::time_point deadline)
      REQUIRES(session_lock_) EXCLUDES(mutex_);
  void watch_events(const std::stop_token& stop) EXCLUDES(session_lock_);
  void drop(const std::shared_ptr<QmpConnection>& connection) REQUIRES(session_lock_) EXCLUDES(mutex_);
  void take_events_of(QmpConnection& connection) REQUIRES(session_lock_);
  void hand_out(const QmpEvent& event) REQUIRES(session_lock_);
  void wake() const;

  const std::string path_;
  const std::shared_ptr<const Process> owner_;
  const std::chrono::milliseconds timeout_;
  const bool keep_;
  const QmpEventHandler on_event_;
  TimedLock session_lock_ ACQUIRED_BEFORE(mutex_); ///< held by the session; guards the use of connections
  Mutex mutex_;                                    ///< never held while waiting
  std::shared_ptr<QmpConnection> kept_ GUARDED_BY(mutex_);
  UniqueFd wake_; ///< eventfd: kept_ changed, or the thread must end
  std::jthread thread_;
};

} // namespace vmemfs::qemu
