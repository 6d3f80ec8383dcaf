// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/pmemaccess_driver.h"

#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "driver/kit/read_pieces.h"
#include "driver/kit/write_requests.h"
#include "drivers/qemu_protocol/main_memory.h"
#include "drivers/qemu_protocol/mtree.h"
#include "util/log.h"
#include "util/worker.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>
#include <vector>

namespace vmemfs::pmemaccess {
namespace {

constexpr std::string_view kOrigin = "pmemaccess";
/// A failure costs MemorySession::kGrace: 3 of them find a bad page in a MiB.
constexpr std::size_t kPartsOfAFailure = 16;

Result<MemoryMap> with_main_memory(const std::vector<MtreeRange>& ranges) {
  auto map = main_memory_of(ranges);
  if (map && std::ranges::none_of(map->regions(),
                                  [](const Region& region) { return region.kind == RegionKind::ram; })) {
    return fail(ErrorKind::source_failed, kOrigin,
                "QEMU's 'info mtree -f' has no main memory; give the ranges by maps=");
  }
  return map;
}

} // namespace

void PmemaccessDriver::read(std::span<ReadPiece> pieces) {
  if (gone()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
    return;
  }
  reads_until(MemoryLink::Clock::now() + 2 * options_.timeout).read(pieces, *memory_map());
  if (gone()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
  }
}

BatchedReads PmemaccessDriver::reads_until(MemoryLink::Clock::time_point deadline) {
  return {max_read_,
          [this, deadline](Gpa gpa, std::size_t size, const BatchedReads::Take& take) -> Result<void> {
            // After its time not even a session that has ended is opened again.
            if (MemoryLink::Clock::now() >= deadline) {
              return fail(ErrorKind::timed_out, kOrigin, "the time for this read is over");
            }
            return link_.read(gpa, size, deadline, take);
          },
          kPartsOfAFailure};
}

Result<void> PmemaccessDriver::refresh() {
  if (gone()) {
    return fail(ErrorKind::vm_gone, kOrigin, "the VM has ended");
  }
  if (monitor_ == nullptr) {
    return {};
  }
  auto session = monitor_->session();
  if (!session) {
    return tl::unexpected{std::move(session.error())};
  }
  if (auto vcpus = session->vcpus()) {
    take_vcpus(std::move(*vcpus));
  }
  return options_.maps.empty() ? take_map(*session) : Result<void>{};
}

/// Called with the monitor's session open, so one after the other.
Result<void> PmemaccessDriver::take_map(MonitorSession& session) {
  auto map = session.mtree()
                 .and_then([](const std::string& text) { return parse_mtree(text); })
                 .and_then(with_main_memory);
  if (!map) {
    map.error().text += "; QEMU before 2.9 has no 'info mtree -f': give the ranges by maps=";
    return tl::unexpected{std::move(map.error())};
  }
  const auto before = map_.load();
  const bool changed = before != nullptr && *before != *map;
  map_.store(std::make_shared<const MemoryMap>(std::move(*map)));
  if (changed) {
    listener_.emit(VmEvent::layout_changed);
  }
  return {};
}

/// The same.
void PmemaccessDriver::take_vcpus(VcpuSet vcpus) {
  if (vcpus == *vcpus_.load()) {
    return;
  }
  vcpus_.store(std::make_shared<const VcpuSet>(std::move(vcpus)));
  listener_.emit(VmEvent::vcpus_changed);
}

void PmemaccessDriver::poll_layout(bool missed) {
  if (missed && monitor_ != nullptr && miss_limit_.allows()) {
    post(&PmemaccessDriver::refresh_later);
  }
}

void PmemaccessDriver::refresh_later() {
  if (const auto refreshed = refresh(); !refreshed && !gone()) {
    log::debug("pmemaccess: refreshing the memory layout: {}", refreshed.error().message());
  }
}

/// One at a time: it may wait for a monitor, and the threads of `worker` are shared with other VMs.
void PmemaccessDriver::post(void (PmemaccessDriver::*job)()) {
  if (job_pending_.exchange(true)) {
    return;
  }
  worker_.post([lease = lease_.share(), job] {
    lease.with([job](PmemaccessDriver& driver) {
      (driver.*job)();
      driver.job_pending_ = false;
    });
  });
}

/// On the watcher's thread.
void PmemaccessDriver::poll_every_second() {
  if (gone()) {
    return;
  }
  poll_run_state();
  if (link_.lost() && revive_limit_.allows()) {
    post(&PmemaccessDriver::revive);
  }
}

void PmemaccessDriver::on_monitor_event(const QmpEvent& event) {
  if (event.name == "STOP") {
    listener_.emit(VmEvent::paused);
  } else if (event.name == "RESUME") {
    listener_.emit(VmEvent::resumed);
  } else if (event.name == "RESET") {
    listener_.emit(VmEvent::reset);
  } else if (event.name == QemuMonitor::kConnectionLost) {
    listener_.emit(VmEvent::state_unclear);
  }
}

bool PmemaccessDriver::reads_registers() const {
  const std::string& guest = identity_.architecture;
  return monitor_ != nullptr && (guest.empty() || guest == "x86_64" || guest == "i386");
}

const RegisterLayout& PmemaccessDriver::register_layout() const { return x86_64::register_layout(); }

Result<std::vector<RegisterSet>> PmemaccessDriver::read_registers(std::span<const VcpuId> vcpus) {
  auto text = monitor_->session().and_then([](MonitorSession&& session) { return session.registers_text(); });
  const auto sets = text.and_then([](const std::string& printed) { return parse_info_registers(printed); });
  return sets.and_then([&](const auto& all) { return pick_registers(all, vcpus, kOrigin, "the VM"); });
}

Result<RunStatus> PmemaccessDriver::run_status() {
  return monitor_->session().and_then([](MonitorSession&& session) { return session.run_status(); });
}

Result<RunStatus> PmemaccessDriver::pause() {
  return monitor_->session().and_then([](MonitorSession&& session) { return session.stop(); });
}

Result<RunStatus> PmemaccessDriver::resume() {
  return monitor_->session().and_then([](MonitorSession&& session) { return session.cont(); });
}

/// All that can be known before the first byte is sent.
Result<void> PmemaccessDriver::check_write(Gpa gpa, std::size_t size) {
  if (gone()) {
    return fail(ErrorKind::vm_gone, kOrigin, "the VM has ended");
  }
  if (!no_writes_.empty()) {
    return fail(ErrorKind::unsupported, kOrigin, no_writes_.substr(no_writes_.find(": ") + 2));
  }
  if (auto allowed = check_writable(*memory_map(), gpa, size, kOrigin); !allowed) {
    return allowed;
  }
  const auto migrates =
      monitor_->session().and_then([](MonitorSession&& session) { return session.migrates(); });
  if (!migrates) {
    return tl::unexpected{migrates.error()};
  }
  return *migrates ? fail(ErrorKind::busy, kOrigin,
                          "the VM is being migrated, and the target would not get what is written; try again "
                          "afterwards")
                   : Result<void>{};
}

WriteOutcome PmemaccessDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  if (auto allowed = check_write(gpa, bytes.size()); !allowed) {
    return nothing_written(std::move(allowed.error()));
  }
  const auto deadline = MemoryLink::Clock::now() + 2 * options_.timeout;
  return write_by_requests(
      *memory_map(), gpa, bytes, kMaxWrite,
      [&](Gpa at, std::span<const std::byte> part) { return link_.write(at, part, deadline); });
}

AccessReport PmemaccessDriver::access() const {
  AccessReport report;
  report.map =
      !options_.maps.empty()
          ? "the user's, by maps="
          : "the monitor's info mtree -f, updated on refresh and after a read of a hole; memory behind "
            "PCI BARs is left out";
  report.ram = fmt::format("QEMU's patch pmemaccess, {}", describe_requests(cost_, max_read_));
  report.no_cache = "a resume by somebody else is noticed only with keep=on";
  report.writes = !no_writes_.empty() ? no_writes_ : "QEMU's patch pmemaccess; not during a migration";
  if (monitor_ == nullptr) {
    report.registers = "none: there is no monitor; qmp= names one";
    report.run_control = report.registers;
    return report;
  }
  report.registers = reads_registers() ? "read: the monitor's info registers; set: not by this driver"
                                       : fmt::format("none: not supported for {}, only for x86",
                                                     printable(identity_.architecture, 20));
  report.run_control =
      fmt::format("the monitor {}, {}", options_.monitor,
                  options_.keep ? "kept open" : "connected for each command; other clients must not hold it");
  return report;
}

} // namespace vmemfs::pmemaccess
