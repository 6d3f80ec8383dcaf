// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor.h"

#include "drivers/qemu/monitor/monitor_answers.h"
#include "drivers/qemu/monitor/monitor_owner.h"
#include "util/log.h"
#include "util/signals.h"
#include "util/work_limit.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/eventfd.h>
#include <utility>

namespace vmemfs::qemu {
namespace {

using nlohmann::json;

constexpr std::string_view kOrigin = "qmp";
constexpr std::chrono::milliseconds kStatePoll{2};
constexpr std::string_view kRemedy = "if this QEMU is only slow, attach it with a larger timeout";

tl::unexpected<Error> operation_over(std::string_view path, const MonitorTime& time) {
  return fail(
      ErrorKind::timed_out, kOrigin,
      fmt::format("the exchanges of one operation with the monitor {} took longer than {} ms together; {}",
                  path, time.limit().count(), kRemedy));
}

/// A refused `cont`, with what helps.
Error with_remedy(Error refused, const RunStatus& before) {
  if (before.detail != "shutdown" && before.detail != "internal-error") {
    return refused;
  }
  return {ErrorKind::unsupported, std::string{kOrigin},
          fmt::format("cannot resume in the state '{}': {}; reset the guest with the monitor command "
                      "system_reset, and resume it then",
                      before.detail, refused.text)};
}

} // namespace

Result<RunStatus> MonitorSession::run_status() { return run_status(deadline()); }

Result<RunStatus> MonitorSession::run_status(Clock::time_point deadline) {
  return execute("query-status", nullptr, deadline).and_then(run_status_of);
}

/// The first status that QEMU does not leave by itself. `action` is for the error.
Result<RunStatus> MonitorSession::lasting_status(std::string_view action, Clock::time_point deadline) {
  std::string passing; // the last such state that was seen
  for (;; std::this_thread::sleep_for(kStatePoll)) {
    auto status = run_status(deadline);
    const bool too_late = !status && !passing.empty() && status.error().kind == ErrorKind::timed_out;
    if (!too_late && (!status || !passes_soon(*status))) {
      return status;
    }
    if (status) {
      passing = std::move(status->detail);
    }
    if (too_late || Clock::now() + kStatePoll >= deadline) {
      return fail(
          ErrorKind::busy, kOrigin,
          fmt::format("cannot {}: QEMU is in the state '{}', which it leaves by itself, and the guest "
                      "may run then; try again afterwards",
                      action, passing));
    }
  }
}

/// Asks again afterwards, because QEMU also accepts a `stop` that has no effect.
Result<RunStatus> MonitorSession::stop() {
  const auto limit = deadline();
  auto status = lasting_status("pause", limit);
  if (!status || !(status->running || status->may_start)) {
    return status;
  }
  if (const auto done = execute("stop", nullptr, limit); !done) {
    return tl::unexpected{done.error()};
  }
  status = run_status(limit);
  if (status && status->detail == "suspended") {
    return fail(
        ErrorKind::unsupported, kOrigin,
        "cannot pause: the guest is suspended, and with this QEMU it runs as soon as something wakes it; "
        "wake it with the monitor command system_wakeup, and pause it then");
  }
  return status;
}

/// Asks first, because QEMU reports a stop and a resume that did not happen if `cont` comes while the VM
/// runs.
Result<RunStatus> MonitorSession::cont() {
  const auto limit = deadline();
  auto before = lasting_status("resume", limit);
  if (!before || before->running) {
    return before;
  }
  if (auto done = execute("cont", nullptr, limit); !done) {
    return tl::unexpected{with_remedy(std::move(done.error()), *before)};
  }
  for (;; std::this_thread::sleep_for(kStatePoll)) {
    auto status = run_status(limit);
    if (!status || status->running || status->detail == "inmigrate") {
      return status;
    }
    if (status->detail == "suspended") {
      if (before->detail != "suspended") { // a newer QEMU: it was paused while it was suspended
        return status;
      }
      return fail(ErrorKind::unsupported, kOrigin,
                  "cannot resume: the guest is suspended; wake it with the monitor command system_wakeup");
    }
    if (Clock::now() >= limit) {
      return fail(ErrorKind::timed_out, kOrigin,
                  fmt::format("QEMU accepted 'cont', but the VM is still '{}'", status->detail));
    }
  }
}

Result<std::string> MonitorSession::mtree() { return human("info mtree -f"); }

Result<std::vector<std::optional<Hva>>> MonitorSession::gpa2hva(std::span<const Gpa> gpas) {
  const auto limit = deadline();
  std::vector<std::optional<Hva>> hvas;
  hvas.reserve(gpas.size());
  for (const Gpa gpa : gpas) {
    const auto hva = human(fmt::format("gpa2hva {:#x}", gpa.value()), limit).and_then(hva_of);
    if (!hva) {
      return tl::unexpected{hva.error()};
    }
    hvas.push_back(*hva);
  }
  return hvas;
}

Result<std::vector<GpaRange>> MonitorSession::pci_bars() {
  return execute("query-pci", nullptr, deadline()).and_then(pci_bars_of);
}

Result<std::vector<std::string>> MonitorSession::memory_backend_ids() {
  return execute("query-memdev", nullptr, deadline()).and_then(memory_backend_ids_of);
}

Result<std::string> MonitorSession::registers_text() { return human("info registers -a"); }

Result<std::vector<VirtioMemDevice>> MonitorSession::virtio_mem_devices() {
  return execute("query-memory-devices", nullptr, deadline()).and_then(virtio_mem_devices_of);
}

Result<std::vector<QemuVcpu>> MonitorSession::vcpus() {
  return execute("query-cpus-fast", nullptr, deadline()).and_then(vcpus_of);
}

Result<std::string> MonitorSession::name() {
  return execute("query-name", nullptr, deadline()).and_then(name_of);
}

Result<std::string> MonitorSession::uuid() {
  return execute("query-uuid", nullptr, deadline()).and_then(uuid_of);
}

Result<std::string> MonitorSession::architecture() {
  return execute("query-target", nullptr, deadline()).and_then(architecture_of);
}

Result<std::vector<Chardev>> MonitorSession::chardevs() {
  return execute("query-chardev", nullptr, deadline()).and_then(chardevs_of);
}

Result<void> MonitorSession::add_socket_chardev(const std::string& id, int fd) {
  const auto limit = deadline();
  // The name under which the monitor keeps the descriptor until chardev-add takes it.
  if (const auto passed = execute("getfd", json{{"fdname", id}}, limit, fd); !passed) {
    return tl::unexpected{passed.error()};
  }
  const json address{{"type", "fd"}, {"data", {{"str", id}}}};
  const json backend{{"type", "socket"}, {"data", {{"addr", address}, {"server", false}}}};
  auto added = execute("chardev-add", json{{"id", id}, {"backend", backend}}, limit);
  if (!added) {
    static_cast<void>(execute("closefd", json{{"fdname", id}}, limit));
    return tl::unexpected{std::move(added.error())};
  }
  return {};
}

Result<void> MonitorSession::remove_chardev(const std::string& id) {
  return execute("chardev-remove", json{{"id", id}}, deadline()).map([](const json&) {});
}

Result<void> MonitorSession::add_client(const std::string& id, int fd) {
  constexpr const char* kFdName = "vmemfs-client"; // until add_client takes it
  const auto limit = deadline();
  if (const auto passed = execute("getfd", json{{"fdname", kFdName}}, limit, fd); !passed) {
    return tl::unexpected{passed.error()};
  }
  // QEMU closes the descriptor if it refuses.
  return execute("add_client", json{{"protocol", id}, {"fdname", kFdName}}, limit).map([](const json&) {});
}

Result<void> MonitorSession::keep_fd(const std::string& name, int fd) {
  return execute("getfd", json{{"fdname", name}}, deadline(), fd).map([](const json&) {});
}

Result<void> MonitorSession::close_fd(const std::string& name) {
  return execute("closefd", json{{"fdname", name}}, deadline()).map([](const json&) {});
}

Result<std::string> MonitorSession::human(std::string_view command_line) {
  return human(command_line, deadline());
}

Result<json> MonitorSession::execute(std::string_view command, const json& arguments,
                                     Clock::time_point deadline, std::optional<int> pass_fd) {
  if (time_.over()) {
    return operation_over(path_, time_);
  }
  return explained(connection_->execute(command, arguments, deadline, pass_fd));
}

Result<std::string> MonitorSession::human(std::string_view command_line, Clock::time_point deadline) {
  if (time_.over()) {
    return operation_over(path_, time_);
  }
  return explained(connection_->human(command_line, deadline));
}

/// An answer that did not come gets the limit and the remedy.
template <typename T> Result<T> MonitorSession::explained(Result<T> answer) const {
  if (answer || answer.error().kind != ErrorKind::timed_out || WorkLimit::over()) {
    return answer;
  }
  if (time_.over()) {
    return operation_over(path_, time_);
  }
  answer.error().text += fmt::format(" of {} ms (monitor {}); {}", time_.timeout.count(), path_, kRemedy);
  return answer;
}

Monitor::Monitor(std::string path, std::shared_ptr<const Process> owner, std::chrono::milliseconds timeout,
                 bool keep, QmpEventHandler on_event)
    : path_{std::move(path)}, owner_{std::move(owner)}, timeout_{timeout}, keep_{keep},
      on_event_{std::move(on_event)} {
  if (keep_) {
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const SignalsBlocked blocked;
    thread_ = std::jthread{[this](const std::stop_token& stop) { watch_events(stop); }};
  }
}

Monitor::~Monitor() {
  if (thread_.joinable()) {
    thread_.request_stop();
    wake();
    thread_.join();
  }
}

Result<MonitorSession> Monitor::session(const MonitorTime& time) {
  const auto limit = time.exchange_end();
  TimedLock::Owner lock{session_lock_, limit};
  if (!lock.owns_lock() && WorkLimit::over()) {
    return WorkLimit::exceeded(kOrigin);
  }
  if (!lock.owns_lock()) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("the monitor {} was in use by other sessions for the whole time limit of {} ms",
                            path_, timeout_.count()));
  }
  session_lock_.assert_held(); // by `lock`
  auto connection = keep_ ? kept_connection(limit) : connect(limit);
  if (!connection && limit == time.begin + time.limit() && time.over()) {
    return operation_over(path_, time);
  } // Else the connection had a limit of its own, and its error says more.
  if (!connection) {
    return tl::unexpected{std::move(connection.error())};
  }
  return MonitorSession{std::move(lock), std::move(*connection), path_, time};
}

Result<RunStatus> Monitor::run_status() {
  return session().and_then([](MonitorSession&& session) { return session.run_status(); });
}

Result<RunStatus> Monitor::stop() {
  return session().and_then([](MonitorSession&& session) { return session.stop(); });
}

Result<RunStatus> Monitor::cont() {
  return session().and_then([](MonitorSession&& session) { return session.cont(); });
}

Result<std::shared_ptr<QmpConnection>> Monitor::connect(Clock::time_point deadline) {
  const auto check = [this](int socket, pid_t listener) {
    return check_monitor_owner(socket, listener, *owner_);
  };
  return QmpConnection::open(path_, deadline, check).map([](QmpConnection&& connection) {
    return std::make_shared<QmpConnection>(std::move(connection));
  });
}

/// The kept connection if it still works, else a new one.
Result<std::shared_ptr<QmpConnection>> Monitor::kept_connection(Clock::time_point deadline) {
  std::shared_ptr<QmpConnection> current;
  {
    const MutexLock lock{mutex_};
    current = kept_;
  }
  if (current) {
    take_events_of(*current);
    if (!current->broken()) {
      return current;
    }
    drop(current);
  }
  auto fresh = connect(deadline);
  if (!fresh) {
    return fresh;
  }
  (*fresh)->set_event_handler([this](const QmpEvent& event) {
    session_lock_.assert_held(); // by whoever uses the connection
    hand_out(event);
  });
  {
    const MutexLock lock{mutex_};
    kept_ = *fresh;
  }
  wake();
  return fresh;
}

/// Closes a broken connection and notifies the event handler.
void Monitor::drop(const std::shared_ptr<QmpConnection>& connection) {
  {
    const MutexLock lock{mutex_};
    if (kept_ != connection) {
      return;
    }
    kept_.reset();
  }
  wake(); // otherwise the thread would keep the socket open
  hand_out(QmpEvent{std::string{kConnectionLost}, {}});
}

void Monitor::take_events_of(QmpConnection& connection) {
  if (const auto drained = connection.drain_events(); !drained) {
    log::debug("monitor {}: {}", path_, drained.error().text);
  }
}

/// The thread of a monitor with keep; it takes events while no session is open.
void Monitor::watch_events(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::shared_ptr<QmpConnection> connection;
    {
      const MutexLock lock{mutex_};
      connection = kept_;
    }
    // poll() skips entries with a negative descriptor.
    std::array<pollfd, 2> entries{
        {{wake_.get(), POLLIN, 0}, {connection ? connection->fd() : -1, POLLIN, 0}}};
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) {
      log::error("monitor {}: waiting for events failed, errno {}", path_, errno);
      return;
    }
    if (entries[0].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(wake_.get(), &count);
    } else if (entries[1].revents != 0) {
      const MutexLock lock{session_lock_};
      take_events_of(*connection);
      if (connection->broken()) {
        drop(connection);
      }
    }
  }
}

/// The session lock keeps the events in order.
void Monitor::hand_out(const QmpEvent& event) {
  if (on_event_) {
    on_event_(event);
  }
}

void Monitor::wake() const {
  if (wake_) {
    ::eventfd_write(wake_.get(), 1);
  }
}

} // namespace vmemfs::qemu
