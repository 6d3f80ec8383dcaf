// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/monitor/qemu_monitor.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <utility>

namespace vmemfs::pmemaccess {
namespace {

constexpr std::string_view kOrigin = "pmemaccess";

MonitorPeer peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  const bool known = ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  return known ? MonitorPeer{credentials.pid, credentials.uid} : MonitorPeer{};
}

} // namespace

Result<MonitorSession> QemuMonitor::session() {
  const auto deadline = Clock::now() + timeout_;
  TimedLock::Owner lock{lock_, deadline};
  if (!lock.owns_lock()) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("the monitor {} was in use for the whole time limit of {} ms", address_,
                            timeout_.count()));
  }
  lock_.assert_held(); // by `lock`
  if (kept_ != nullptr) {
    static_cast<void>(kept_->drain_events());
  }
  if (kept_ != nullptr && kept_->broken()) {
    kept_.reset();
    on_event_({std::string{kConnectionLost}, {}});
  }
  if (kept_ == nullptr) {
    if (auto connected = connect(deadline); !connected) {
      return tl::unexpected{std::move(connected.error())};
    }
  }
  auto connection = keep_ ? kept_ : std::exchange(kept_, nullptr);
  return MonitorSession{std::move(lock), std::move(connection), peer_, deadline};
}

Result<void> QemuMonitor::connect(Clock::time_point deadline) {
  MonitorPeer peer;
  const auto note_peer = [&peer](int socket, pid_t /*listener*/) {
    peer = peer_of(socket);
    return Result<void>{};
  };
  auto opened = QmpConnection::open(address_, deadline, note_peer);
  if (!opened) {
    return tl::unexpected{std::move(opened.error())};
  }
  kept_ = std::make_shared<QmpConnection>(std::move(*opened));
  peer_ = peer;
  if (keep_) {
    kept_->set_event_handler(on_event_);
  }
  return {};
}

void QemuMonitor::take_events() {
  const TimedLock::Owner lock{lock_, Clock::now()};
  if (!lock.owns_lock()) {
    return; // who has it takes them
  }
  lock_.assert_held();
  if (kept_ == nullptr) {
    return;
  }
  static_cast<void>(kept_->drain_events());
  if (kept_->broken()) {
    kept_.reset();
    on_event_({std::string{kConnectionLost}, {}});
  }
}

} // namespace vmemfs::pmemaccess
