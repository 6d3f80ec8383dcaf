// SPDX-License-Identifier: MIT
#include "drivers/qemu/qemu_driver.h"

#include "drivers/qemu/layout/region_kinds.h"
#include "drivers/qemu/monitor/resume_ticket.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "util/log.h"
#include "util/worker.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// What the map lacks because QEMU refused a command.
std::string refused_queries(const std::vector<ProbeResult>& results) {
  std::string text;
  for (const ProbeResult& result : results) {
    if (!result.ok && result.what.starts_with("query-")) {
      text += fmt::format("; {}", result.detail);
    }
  }
  return text;
}

} // namespace

QemuDriver::QemuDriver(FoundQemu qemu, std::shared_ptr<const ProcessSpace> space, const QemuOptions& options,
                       const DriverContext& context)
    : qemu_{std::move(qemu)}, space_{std::move(space)}, options_{options}, worker_{context.worker},
      identity_{qemu_.command_line.name, qemu_.command_line.uuid, "qemu", process_key(*qemu_.process)},
      threads_{qemu_.process->pid()}, guest_{space_} {
  vcpus_.store(std::make_shared<const VcpuSet>(VcpuSet::first(qemu_.command_line.vcpus)));
}

Result<MonitorLayout> QemuDriver::layout_by_monitor(MonitorSession& session) {
  auto read = layout_from_monitor(session);
  if (read) {
    for (const ProbeResult& refused : read->refused) {
      note(refused.what, refused.ok, refused.detail);
    }
  }
  return read;
}

/// For a map by the monitor alone, in one session.
Result<GuestLayout> QemuDriver::plugged_by_monitor(const MonitorTime& time) {
  auto session = monitor_->session(time);
  if (!session) {
    return tl::unexpected{session.error()};
  }
  auto read = layout_by_monitor(*session);
  if (!read) {
    return tl::unexpected{read.error()};
  }
  return plugs_from_monitor(*session).map([&](const MonitorPlugs& plugs) {
    note_plugs(!plugs.unknown);
    cut_out(read->layout, plugs.unplugged);
    return std::move(read->layout);
  });
}

Result<GuestLayout> QemuDriver::layout_by_view() {
  return layout_from_flat_view(*flat_view_).map([this](const ViewLayout& read) {
    note_plugs(!read.plugs_unknown);
    return read.plugged();
  });
}

/// Only if there was something to say.
void QemuDriver::note_plugs(bool known) {
  if (known == plugs_known_.exchange(known)) {
    return;
  }
  note("virtio-mem", known,
       known
           ? "which parts are plugged is known again"
           : "which parts are plugged is unknown: all of its memory counts as plugged, and the rest reads as "
             "zeros");
}

Result<GuestLayout> QemuDriver::read_layout(const MonitorTime& time) {
  if (options_.map == MapSource::guess) {
    return layout_by_guess(qemu_.command_line, *space_);
  }
  if (flat_view_) {
    return layout_by_view();
  }
  return plugged_by_monitor(time);
}

/// Called with layout_mutex_ held, or while attaching.
Result<void> QemuDriver::publish(GuestLayout layout, Mappings mappings) {
  return guest_.publish(std::move(layout), mappings).map([this](bool changed) {
    if (changed) {
      listener_.emit(VmEvent::layout_changed);
    }
  });
}

Result<void> QemuDriver::refresh() {
  const MonitorTime time{options_.timeout};
  auto refreshed = refresh(Mappings::renew, time);
  static_cast<void>(query_vcpus(time)); // what is left of the time; the map counts
  return refreshed;
}

Result<void> QemuDriver::refresh(Mappings mappings, const MonitorTime& time) {
  const TimedLock::Owner lock{layout_mutex_, time.exchange_end()};
  if (!lock.owns_lock()) {
    return fail(ErrorKind::busy, "qemu", "another refresh of the memory layout took the whole time limit");
  }
  if (gone()) {
    return fail(ErrorKind::vm_gone, "qemu", "the VM has ended");
  }
  auto layout = read_layout(time);
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  return publish(std::move(*layout), mappings);
}

void QemuDriver::poll_layout(bool missed) {
  if (!flat_view_) {
    if (missed && miss_limit_.allows()) {
      refresh_later();
    }
    return;
  }
  const auto refreshed = follow_view({options_.timeout});
  if (!refreshed && !gone()) {
    log::debug("qemu {}: refreshing the memory layout: {}", qemu_.process->pid(),
               refreshed.error().message());
  }
}

/// Reads the layout again if QEMU's flat view has changed, and from time to time if it could not tell what of
/// virtio-mem is plugged.
Result<void> QemuDriver::follow_view(const MonitorTime& time) {
  const auto memory = guest_.memory();
  const auto stamp = flat_view_->stamp();
  if (memory == nullptr || !stamp) {
    return stamp ? Result<void>{} : tl::unexpected{stamp.error()};
  }
  const bool again = !plugs_known_ && plugs_limit_.allows();
  return memory->layout().stamp == *stamp && !again ? Result<void>{} : refresh(Mappings::keep, time);
}

void QemuDriver::poll_run_state() {
  if (idle_monitor_.poll()) {
    listener_.emit(VmEvent::state_unclear);
  }
}

std::optional<std::chrono::milliseconds> QemuDriver::state_delay() const {
  return monitor_ != nullptr && idle_monitor_.watching() ? std::optional{VcpuIdleMonitor::kDelay}
                                                         : std::nullopt;
}

ReadCost QemuDriver::read_cost() const {
  return {std::chrono::microseconds{2}, std::chrono::nanoseconds{150}};
}

/// For the map from the monitor, for which a reader must not wait.
void QemuDriver::refresh_later() {
  if (refresh_pending_.exchange(true)) {
    return;
  }
  worker_.post([lease = lease_.share()] {
    lease.with([](QemuDriver& driver) {
      driver.refresh_pending_ = false;
      if (const auto refreshed = driver.refresh(); !refreshed) {
        log::warning("qemu: refreshing the memory layout: {}", refreshed.error().message());
      }
    });
  });
}

Result<RunStatus> QemuDriver::run_status() {
  auto session = monitor_->session();
  if (!session) {
    return tl::unexpected{session.error()};
  }
  if (!idle_monitor_.watching()) { // a vCPU was unplugged
    query_vcpus(*session);
  }
  return idle_monitor_
      .ask([&] { return session->run_status(); }, [this] { listener_.emit(VmEvent::state_unclear); })
      .map([this](RunStatus&& status) { return with_cause(std::move(status)); });
}

/// A target of a migration that was started with -S does not run when that ends: a pause of ours is no
/// reason to change that afterwards, such as for libvirt's QEMUs.
RunStatus QemuDriver::with_cause(RunStatus status) const {
  status.by_command = status.by_command && !(status.detail == "inmigrate" && qemu_.command_line.stopped);
  return status;
}

Result<RunStatus> QemuDriver::pause() {
  auto paused = monitor_->stop().map([this](RunStatus&& status) { return with_cause(std::move(status)); });
  if (paused && !paused->running) {
    idle_monitor_.note_paused();
  }
  return paused;
}

Result<RunStatus> QemuDriver::resume() {
  idle_monitor_.forget();
  auto resumed = monitor_->cont();
  if (resumed && !flat_view_) {
    refresh_later();
  }
  return resumed;
}

std::string QemuDriver::resume_ticket() const {
  return to_text(MonitorTicket{qemu_.process->pid(), qemu_.process->start_time(), options_.timeout,
                               absolute_address(monitor_->path())});
}

AccessReport QemuDriver::access() const {
  AccessReport report;
  report.map = map_source_;
  if (!flat_view_) { // which knows the kinds of memory by itself
    report.map += refused_queries(probe());
  }
  report.writes = describe_writes();
  report.ram = guest_.describe();
  report.registers = describe_registers();
  report.no_cache =
      "the threads of QEMU's vCPUs cannot be watched, so a resume by somebody else would not be "
      "noticed; `vCPU activity` under `probe` in info has the reason";
  if (monitor_ != nullptr) {
    report.run_control = fmt::format("QMP stop and cont at {}", monitor_->path());
  } else {
    report.run_control = "none: " + why_no_monitor_;
  }
  return report;
}

std::vector<ProbeResult> QemuDriver::probe() const {
  std::vector<ProbeResult> results;
  {
    const MutexLock lock{probe_mutex_};
    results = probe_;
  }
  std::ranges::move(guest_.probe(), std::back_inserter(results));
  return results;
}

void QemuDriver::on_monitor_event(const QmpEvent& event) {
  if (!attached_) {
    return; // the first layout includes earlier changes
  }
  if (event.name == "STOP") {
    listener_.emit(VmEvent::paused);
  } else if (event.name == "RESUME") {
    listener_.emit(VmEvent::resumed);
  } else if (event.name == "DEVICE_DELETED" || event.name == "ACPI_DEVICE_OST") {
    vcpus_due_ = true; // the next poll queries them, so that events cannot cause more than one query a second
  } else if (event.name == "RESET" || event.name == Monitor::kConnectionLost) {
    // After a lost connection anything may have happened.
    vcpus_due_ = true;
    listener_.emit(event.name == "RESET" ? VmEvent::reset : VmEvent::state_unclear);
    if (!flat_view_) {
      refresh_later();
    }
  }
}

} // namespace vmemfs::qemu
