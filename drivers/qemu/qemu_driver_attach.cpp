// SPDX-License-Identifier: MIT
// Attaching: the ways to a running QEMU's memory and monitor are probed one after the other, and the results
// are reported.
#include "drivers/qemu/discovery/qemu_discovery.h"
#include "drivers/qemu/qemu_driver.h"
#include "util/log.h"
#include "util/work_limit.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <string_view>
#include <thread>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// While firmware runs, the layout may change between the two reads; then both are read again.
constexpr std::chrono::seconds kForAgreement{3};
constexpr std::chrono::milliseconds kBetweenTries{20};
/// A client that uses the monitor from time to time is done within this time; a client that keeps it is not
/// waited for.
constexpr std::chrono::milliseconds kForOtherClient{300};

constexpr std::string_view kMonitorAlone =
    "monitor (info mtree -f, gpa2hva), read again on refresh, resume, reset and reads outside";
constexpr std::string_view kFlatViewAlone = "QEMU's own flat view, polled for changes";

/// Of QEMU's map: it has no such command, refused it, or its text has another form.
bool is_refusal(ErrorKind kind) { return kind == ErrorKind::unsupported || kind == ErrorKind::source_failed; }

/// Whether monitor and flat view differ because one is wrong, not because the guest changes its layout: then
/// neither of them changes.
class LastingDifference {
public:
  /// Two layouts that differ. True if they have been the same for some time.
  [[nodiscard]] bool note(const GuestLayout& by_monitor, const GuestLayout& by_view) {
    constexpr std::chrono::seconds kLasting{1};
    const auto now = std::chrono::steady_clock::now();
    if (!same_memory(by_monitor, by_monitor_) || !same_memory(by_view, by_view_)) {
      by_monitor_ = by_monitor;
      by_view_ = by_view;
      since_ = now;
    }
    return now - since_ >= kLasting;
  }

private:
  GuestLayout by_monitor_;
  GuestLayout by_view_;
  std::chrono::steady_clock::time_point since_;
};

} // namespace

Result<std::unique_ptr<QemuDriver>> QemuDriver::attach(FoundQemu qemu, const QemuOptions& options,
                                                       const DriverContext& context) {
  auto space =
      ProcessSpace::open(qemu.process, context.for_others ? ProcessReaders::others : ProcessReaders::mounter);
  if (!space) {
    return tl::unexpected{space.error()};
  }
  std::unique_ptr<QemuDriver> driver{new QemuDriver{std::move(qemu), std::move(*space), options, context}};
  driver->probe_kvm();
  if (auto started = driver->probe_flat_view(); !started) {
    return tl::unexpected{started.error()};
  }
  driver->probe_monitors();
  if (auto taken = driver->take_first_layout(); !taken) {
    return tl::unexpected{taken.error()};
  }
  auto watched =
      driver->guest_.watch_end(context.watcher, [raw = driver.get()] { raw->listener_.emit(VmEvent::gone); });
  if (!watched) {
    return tl::unexpected{std::move(watched.error())};
  }
  if (driver->monitor_ != nullptr) {
    driver->vcpu_watch_ = context.watcher.watch_every_second([raw = driver.get()] { raw->poll_vcpus(); });
  }
  if (driver->monitor_ == nullptr && driver->qemu_.named_monitor) { // without it something is missing
    log::warning("qemu {}: no registers, pause and resume, as qmp= is of no use: {}",
                 driver->qemu_.process->pid(), driver->why_no_monitor_);
  }
  driver->attached_ = true;
  return driver;
}

void QemuDriver::note(std::string what, bool ok, std::string detail) {
  log::debug("qemu {}: {}: {}: {}", qemu_.process->pid(), what, ok ? "yes" : "no", detail);
  const MutexLock lock{probe_mutex_};
  const auto known = std::ranges::find(probe_, what, &ProbeResult::what);
  if (known != probe_.end()) {
    *known = {std::move(what), ok, std::move(detail)};
  } else {
    probe_.push_back({std::move(what), ok, std::move(detail)});
  }
}

void QemuDriver::note_no_monitor(std::string what, const std::string& detail) {
  why_no_monitor_ += (why_no_monitor_.empty() ? "" : "; ") + detail;
  note(std::move(what), false, detail);
}

/// Selects the first monitor that answers.
void QemuDriver::probe_monitors() {
  if (!qemu_.no_monitor.empty()) {
    note_no_monitor("monitor", qemu_.no_monitor);
  }
  if (const std::size_t more = qemu_.command_line.more_qmp; more != 0) {
    note("more monitors", false,
         fmt::format("{} more were not tried, only the first {}", more, kMaxMonitors));
  }
  for (const std::string& path : qemu_.monitor_paths) {
    if (WorkLimit::over()) {
      note_no_monitor(fmt::format("monitor {}", path), WorkLimit::exceeded("qemu").value().message());
      break;
    }
    if (!is_free(path)) {
      note_no_monitor(fmt::format("monitor {}", path),
                      "another client is connected, and a monitor serves one client at a time; give QEMU one "
                      "more QMP socket, or attach again when it is free");
      continue;
    }
    auto monitor = std::make_unique<Monitor>(path, qemu_.process, options_.timeout, options_.keep_monitor,
                                             [this](const QmpEvent& event) { on_monitor_event(event); });
    auto session = monitor->session(attach_time());
    if (!session) {
      note_no_monitor(fmt::format("monitor {}", path), session.error().message());
      continue;
    }
    query_vcpus(*session);
    read_identity(*session);
    note(fmt::format("monitor {}", path), true,
         fmt::format("QEMU {}, {}", session->qemu_version(),
                     options_.keep_monitor ? "kept open" : "connected for single commands only"));
    session = tl::unexpected{Error{}}; // the session must end before the monitor
    monitor_ = std::move(monitor);
    return;
  }
}

/// What the command line has not said. A VM without a name is called by its uuid or pid.
void QemuDriver::read_identity(MonitorSession& session) {
  identity_.architecture = session.architecture().value_or("");
  if (identity_.name.empty()) {
    identity_.name = session.name().value_or("");
  }
  if (identity_.uuid.empty()) {
    identity_.uuid = session.uuid().value_or("");
  }
}

/// The attempt's own limit ends it, whichever exchanges take how long.
MonitorTime QemuDriver::attach_time() const {
  return {options_.timeout, MonitorTime::Clock::now(), kAttachTimeouts};
}

void QemuDriver::probe_kvm() {
  const pid_t pid = qemu_.process->pid();
  const auto fds = list_fds(pid);
  if (!fds) {
    note("kvm", false, fds.error().message());
    return;
  }
  kvm_ = std::ranges::any_of(*fds, [&](int fd) { return fd_target(pid, fd) == "anon_inode:kvm-vm"; });
  note("kvm", kvm_, kvm_ ? "QEMU uses KVM" : "QEMU does not use KVM: it emulates (TCG)");
}

bool QemuDriver::is_free(const std::string& monitor_path) const {
  const auto limit = std::chrono::steady_clock::now() + std::min(kForOtherClient, options_.timeout);
  while (has_client(monitor_path, qemu_.process->pid())) {
    if (std::chrono::steady_clock::now() >= limit || WorkLimit::over()) {
      return false;
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  return true;
}

/// Runs before the monitor is used: a QEMU that is starting must not be disturbed, and one that waits for the
/// first client of its monitor (wait=on) must not take vmemfs for it.
Result<void> QemuDriver::probe_flat_view() {
  if (options_.map == MapSource::monitor || options_.map == MapSource::guess) {
    return {};
  }
  const auto limit = std::chrono::steady_clock::now() + options_.timeout;
  auto reader = FlatViewReader::open(space_);
  while (!reader && reader.error().kind == ErrorKind::busy) {
    if (std::chrono::steady_clock::now() >= limit || WorkLimit::over()) {
      return fail(ErrorKind::busy, "qemu",
                  fmt::format("QEMU (pid {}) has no memory yet: it is starting up, or waits for something",
                              qemu_.process->pid()));
    }
    std::this_thread::sleep_for(kBetweenTries);
    reader = FlatViewReader::open(space_);
  }
  if (!reader) {
    note("flat view", false, reader.error().message());
    return {};
  }
  flat_view_ = std::move(*reader);
  note("flat view", true, "read from QEMU's memory by its exported symbol, all self-checks passed");
  return {};
}

/// Both sources should agree. If QEMU refuses the monitor's, the flat view counts alone, as without a
/// monitor. The guest may move its PCI windows between the two reads, so a mismatch is tried again. One that
/// stays is that of a flat view that was not understood: then the monitor counts, which is QEMU's public
/// word.
Result<GuestLayout> QemuDriver::read_checked_layout() {
  LastingDifference lasting;
  const auto limit = std::chrono::steady_clock::now() + kForAgreement;
  do {
    const auto by_monitor = monitor_->session(attach_time()).and_then([this](MonitorSession&& session) {
      return layout_by_monitor(session);
    });
    if (!by_monitor && is_refusal(by_monitor.error().kind)) {
      note("map by the monitor", false, by_monitor.error().message());
      map_source_ = kFlatViewAlone;
      return layout_by_view();
    }
    if (!by_monitor && by_monitor.error().kind != ErrorKind::busy) {
      return tl::unexpected{by_monitor.error()};
    }
    const auto by_view = layout_from_flat_view(*flat_view_);
    if (by_monitor && by_view) {
      const std::string found = difference(*by_monitor, by_view->whole);
      if (found.empty()) {
        note_plugs(!by_view->plugs_unknown);
        return by_view->plugged();
      }
      if (lasting.note(by_monitor->layout, by_view->whole)) {
        return take_monitors(found);
      }
    }
    if (WorkLimit::over()) {
      return WorkLimit::exceeded("qemu");
    }
    std::this_thread::sleep_for(kBetweenTries);
  } while (std::chrono::steady_clock::now() < limit);
  return fail(ErrorKind::busy, "qemu",
              "cannot determine the memory layout: the guest kept changing it, or monitor and flat view kept "
              "differing; try again, or select one with map=monitor or map=flatview");
}

/// Without the flat view, from now on.
Result<GuestLayout> QemuDriver::take_monitors(const std::string& difference) {
  note("flat view", false, fmt::format("not used: it differs from the monitor: {}", difference));
  log::warning("qemu {}: QEMU's own flat view is not used: {}", qemu_.process->pid(), difference);
  flat_view_.reset();
  map_source_ = fmt::format("{}; QEMU's own flat view is not used: {}", kMonitorAlone, difference);
  return plugged_by_monitor(attach_time());
}

Result<void> QemuDriver::take_first_layout() {
  if (options_.map == MapSource::guess) {
    map_source_ = "GUESSED from machine type and memory size because of map=guess; it may be wrong";
  } else if (options_.map != MapSource::flat_view && monitor_ != nullptr && flat_view_) {
    map_source_ =
        "monitor (info mtree -f, gpa2hva), equal to QEMU's own flat view, which is polled for changes";
    auto layout = read_checked_layout();
    if (!layout) {
      return tl::unexpected{layout.error()};
    }
    return publish(std::move(*layout), Mappings::renew);
  } else if (flat_view_) {
    map_source_ = kFlatViewAlone;
  } else if (options_.map != MapSource::flat_view && monitor_ != nullptr) {
    map_source_ = kMonitorAlone;
  } else {
    std::string reasons;
    for (const ProbeResult& result : probe()) {
      reasons += fmt::format("; {}: {}", result.what, result.detail);
    }
    return fail(ErrorKind::unsupported, "qemu",
                fmt::format("cannot determine the memory map of QEMU (pid {}){}; map=guess guesses it",
                            qemu_.process->pid(), reasons));
  }
  auto layout = read_layout(attach_time());
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  return publish(std::move(*layout), Mappings::renew);
}

} // namespace vmemfs::qemu
