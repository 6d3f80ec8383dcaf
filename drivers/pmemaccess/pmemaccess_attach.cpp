// SPDX-License-Identifier: MIT
// Attaching, and the sessions with QEMU.
#include "driver/kit/user_map.h"
#include "drivers/pmemaccess/monitor/resume_ticket.h"
#include "drivers/pmemaccess/pmemaccess_driver.h"
#include "drivers/pmemaccess/session/socket_path.h"
#include "drivers/qemu_protocol/gdb_socket.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "host/process.h"
#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::pmemaccess {
namespace {

constexpr std::string_view kOrigin = "pmemaccess";
/// What of the time limit a large request may take, as others wait for it.
constexpr int kPartOfTimeout = 16;

std::string key_of(pid_t pid) {
  const auto process = Process::open(pid);
  return process ? process_key(*process) : std::string{};
}

MonitorTicket ticket_for(const std::string& monitor, pid_t listener, std::chrono::milliseconds timeout) {
  const auto process = Process::open(listener);
  return process ? MonitorTicket{listener, process->start_time(), timeout, absolute_address(monitor)}
                 : MonitorTicket{0, 0, timeout, absolute_address(monitor)};
}

} // namespace

PmemaccessDriver::PmemaccessDriver(Options options, const DriverContext& context)
    : options_{std::move(options)}, worker_{context.worker}, max_read_{kMaxSlowRead},
      monitor_{options_.monitor.empty() ? nullptr
                                        : std::make_unique<QemuMonitor>(
                                              options_.monitor, options_.timeout, options_.keep,
                                              [this](const QmpEvent& event) { on_monitor_event(event); })},
      link_{[this] { return open_session(); }, options_.timeout, [this] { listener_.emit(VmEvent::gone); }} {
  identity_.driver = kOrigin;
  vcpus_.store(std::make_shared<const VcpuSet>());
}

Result<std::unique_ptr<Driver>> PmemaccessDriver::attach(Options options, const DriverContext& context) {
  for (const std::string& path : {options.monitor, options.socket}) {
    if (auto refused = refuse_gdb_socket(path, kOrigin); !refused) {
      return tl::unexpected{std::move(refused.error())};
    }
  }
  std::unique_ptr<PmemaccessDriver> driver{new PmemaccessDriver{std::move(options), context}};
  if (auto started = driver->start(); !started) {
    return tl::unexpected{std::move(started.error())};
  }
  driver->watch_ = context.watcher.watch_every_second([raw = driver.get()] { raw->poll_every_second(); });
  return driver;
}

Result<void> PmemaccessDriver::start() {
  if (!options_.maps.empty()) {
    auto map = parse_user_map(options_.maps, kOrigin);
    if (!map) {
      return tl::unexpected{std::move(map.error())};
    }
    map_.store(std::make_shared<const MemoryMap>(std::move(*map)));
  } else if (monitor_ == nullptr) {
    return fail(
        ErrorKind::invalid, kOrigin,
        "without a monitor nobody knows where the guest has memory; give the ranges by maps=, or qmp=");
  }
  if (monitor_ == nullptr) {
    no_writes_ = "none: without a monitor the version of QEMU is unknown, and a write corrupts that of 2.4.0";
  } else if (auto read = read_monitor(); !read) {
    return read;
  }
  const auto peer = link_.start();
  if (!peer) {
    return tl::unexpected{peer.error()};
  }
  identity_.key = key_of(peer->pid);
  if (auto measured = measure(); !measured) {
    return measured;
  }
  note("memory socket", true,
       fmt::format("pid {} answers in {} us", peer->pid,
                   std::chrono::duration_cast<std::chrono::microseconds>(cost_.call).count()));
  return {};
}

/// By small requests, which decide whether large ones are quick enough.
Result<void> PmemaccessDriver::measure() {
  auto cost = reads_until(MemoryLink::Clock::now() + 2 * options_.timeout).measure(*memory_map());
  if (!cost) {
    cost.error().text += "; check that the ranges of the map are memory";
    return tl::unexpected{std::move(cost.error())};
  }
  cost_ = *cost;
  constexpr int kPages = kMaxRead / kPageSize;
  if (cost_.call + kPages * cost_.page <= options_.timeout / kPartOfTimeout) {
    max_read_ = kMaxRead;
  }
  return {};
}

Result<void> PmemaccessDriver::read_monitor() {
  auto session = monitor_->session();
  if (!session) {
    return tl::unexpected{std::move(session.error())};
  }
  note(fmt::format("monitor {}", options_.monitor), true,
       fmt::format("QEMU {}, {}", session->qemu_version(),
                   options_.keep ? "kept open" : "connected for single commands only"));
  identity_.name = session->name().value_or("");
  identity_.uuid = session->uuid().value_or("");
  identity_.architecture = session->architecture().value_or("");
  no_writes_ = why_no_writes(*session);
  ticket_ = to_text(ticket_for(options_.monitor, session->peer().pid, options_.timeout));
  if (auto vcpus = session->vcpus()) {
    take_vcpus(std::move(*vcpus));
  } else {
    note("vCPUs", false, vcpus.error().text);
  }
  return options_.maps.empty() ? take_map(*session) : Result<void>{};
}

/// Of the patch for 2.4.0, a write reads into the address of a variable. The patch marks nothing as written,
/// so TCG would go on with code that it translated before.
std::string PmemaccessDriver::why_no_writes(MonitorSession& session) const {
  if (session.qemu_version().starts_with("2.4.") || session.qemu_version() == "unknown") {
    return fmt::format("none: QEMU {}; the patch for 2.4.0 corrupts QEMU at a write", session.qemu_version());
  }
  const auto kvm = session.uses_kvm();
  return kvm && *kvm
             ? ""
             : "none: this QEMU does not use KVM, and its TCG would not notice that code was changed; "
               "the driver qemu can write";
}

/// Called with the link's lock held.
MemoryLink::Opened PmemaccessDriver::open_session() {
  const auto deadline = MemorySession::Clock::now() + options_.timeout;
  if (!options_.socket.empty()) {
    return MemorySession::connect(options_.socket, MemorySession::Retry::no, deadline);
  }
  const auto directory = options_.directory.empty() ? directory_of_monitor(options_.monitor)
                                                    : Result<std::string>{options_.directory};
  const auto path = directory.and_then(new_socket_path);
  if (!path) {
    return tl::unexpected{path.error()};
  }
  MonitorPeer peer;
  {
    auto monitor = monitor_->session();
    if (!monitor) {
      return tl::unexpected{std::move(monitor.error())};
    }
    if (auto opened = monitor->open_memory(*path); !opened) {
      return tl::unexpected{std::move(opened.error())};
    }
    peer = monitor->peer();
  }
  auto session = MemorySession::connect(*path, MemorySession::Retry::yes, deadline);
  if (!session && session.error().kind == ErrorKind::not_found) { // QEMU just answered: it has not ended
    return fail(
        ErrorKind::source_failed, kOrigin,
        fmt::format("QEMU took the command pmemaccess, but made no socket {} that can be seen here; name "
                    "a directory that both reach by dir=",
                    *path));
  }
  if (session) {
    if (auto checked = check_peer(**session, peer); !checked) {
      return tl::unexpected{std::move(checked.error())};
    }
  }
  return session;
}

/// Somebody who can write to the directory may have put a socket of his own there.
Result<void> PmemaccessDriver::check_peer(const MemorySession& session, const MonitorPeer& monitor) const {
  const ucred peer = session.peer();
  const bool known = monitor.pid != 0 && peer.pid != 0;
  if (known && peer.pid != monitor.pid && peer.uid != monitor.uid && monitor.uid != 0) {
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("the memory socket belongs to pid {} of user {}, and the monitor to pid {} of user {}; "
                    "name a directory that nobody else can write by dir=",
                    peer.pid, peer.uid, monitor.pid, monitor.uid));
  }
  return {};
}

void PmemaccessDriver::note(std::string what, bool ok, std::string detail) {
  log::debug("pmemaccess: {}: {}: {}", what, ok ? "yes" : "no", detail);
  probe_.push_back({std::move(what), ok, std::move(detail)});
}

} // namespace vmemfs::pmemaccess
