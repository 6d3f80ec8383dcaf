// SPDX-License-Identifier: MIT
#include "drivers/xen/xen_driver.h"

#include "arch/x86_64/registers.h"
#include "driver/kit/changed_registers.h"
#include "driver/kit/read_pieces.h"
#include "driver/kit/write_requests.h"
#include "drivers/xen/discovery/find_domain.h"
#include "drivers/xen/registers/hvm_registers.h"
#include "drivers/xen/registers/pv_registers.h"
#include "drivers/xen/state/resume_ticket.h"
#include "util/log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <iterator>
#include <optional>
#include <utility>

namespace vmemfs::xen {
namespace {

Error gone_error() { return {ErrorKind::vm_gone, std::string{kOrigin}, "the domain has ended"}; }

/// Why a page could not be mapped for writing.
Error refused_write(int os_errno, DomainKind kind, Gpa gpa) {
  if (os_errno == ESRCH) {
    return gone_error();
  }
  if (kind == DomainKind::pv && (os_errno == EBUSY || os_errno == EPERM)) {
    return {ErrorKind::read_only, std::string{kOrigin},
            fmt::format(
                "the page at {:#x} takes no write: Xen keeps a PV guest's page tables and descriptor tables "
                "from being written",
                gpa.value())};
  }
  return {
      ErrorKind::bad_page, std::string{kOrigin},
      fmt::format("cannot get the page at {:#x} (errno {}); was it ballooned out?", gpa.value(), os_errno)};
}

} // namespace

XenDriver::XenDriver(DomainInfo info, Access access, const DriverContext& context)
    : info_{std::move(info)}, access_{std::move(access)},
      identity_{access_.events->store().name_of(info_.id), info_.uuid, std::string{kOrigin}, key_of(info_)},
      pause_count_{access_.control.get(), info_.id},
      layout_{access_.control.get(),
              access_.memory,
              access_.table.get(),
              info_,
              context.worker,
              {.changed = [this] { listener_.emit(VmEvent::layout_changed); },
               .failed = [this] { check_for_end(); }}} {
  vcpus_.store(std::make_shared<const VcpuSet>(VcpuSet::first(info_.vcpus)));
}

Result<XenDriver::Access> XenDriver::open_access(Control control, XenRuntime& runtime,
                                                 std::shared_ptr<DomainEvents> events,
                                                 const DomainInfo& info) {
  auto memory = open_foreign_memory();
  if (!memory) {
    return tl::unexpected{memory.error()};
  }
  Access access{std::move(control), ForeignMemory{std::move(*memory), info.id}, nullptr, 64,
                std::move(events)};
  if (info.kind == DomainKind::pv) {
    auto table = runtime.machine_table(access.control.get());
    if (!table) {
      return tl::unexpected{table.error()};
    }
    access.table = std::move(*table);
    const auto bits = pv_guest_bits(access.control.get(), info.id);
    if (!bits) {
      return tl::unexpected{bits.error()};
    }
    access.bits = *bits;
  }
  return access;
}

Result<std::unique_ptr<XenDriver>> XenDriver::attach(std::string_view domain, XenRuntime& runtime,
                                                     const DriverContext& context) {
  auto control = open_control();
  if (!control) {
    return tl::unexpected{control.error()};
  }
  auto events = runtime.events(context.watcher);
  if (!events) {
    return tl::unexpected{events.error()};
  }
  const auto info = find_domain(control->get(), (*events)->store(), domain);
  if (!info) {
    return tl::unexpected{info.error()};
  }
  auto access = open_access(std::move(*control), runtime, std::move(*events), *info);
  if (!access) {
    return tl::unexpected{access.error()};
  }
  std::unique_ptr<XenDriver> driver{new XenDriver{*info, std::move(*access), context}};
  if (auto begun = driver->layout_.begin(); !begun) {
    return tl::unexpected{std::move(begun.error())};
  }
  if (auto known = driver->refresh_vcpus(); !known) {
    return tl::unexpected{std::move(known.error())};
  }
  // There is no event that reports it.
  driver->vcpu_watch_ =
      context.watcher.watch_every_second([raw = driver.get()] { static_cast<void>(raw->refresh_vcpus()); });
  driver->subscription_ = driver->access_.events->subscribe([raw = driver.get()] { raw->check_for_end(); });
  return driver;
}

// ---- memory

std::shared_ptr<const MemoryMap> XenDriver::memory_map() const {
  auto layout = layout_.load();
  const MemoryMap* const map = &layout->map;
  return {std::move(layout), map};
}

void XenDriver::read(std::span<ReadPiece> pieces) {
  thread_local const auto kBatch = std::make_unique<PageBatch>();
  if (gone_) {
    fail_pieces(pieces, ErrorKind::vm_gone);
    return;
  }
  const auto layout = layout_.load();
  const BatchOutcome outcome =
      kBatch->read({*layout, access_.memory, access_.table.get(), layout_.allowance()}, pieces);
  if (outcome.refused) { // of a domain on its way out pages are refused as well
    layout_.note_refused();
    check_for_end();
  }
  if (outcome.gone) {
    end();
  }
  if (gone_) {
    fail_pieces(pieces, ErrorKind::vm_gone);
  }
}

/// One mapping's worth of pages at most.
WriteOutcome XenDriver::write_part(const Layout& layout, Gpa gpa, std::span<const std::byte> bytes) {
  std::array<Frame, kBatchPages> frames{};
  std::array<int, kBatchPages> errors{};
  const std::size_t count = (gpa.page_offset() + bytes.size() + kPageSize - 1) / kPageSize;
  for (std::size_t i = 0; i < count; ++i) {
    frames[i] = layout.frame_of(Gfn{Gfn{gpa}.value() + i});
  }
  const auto pages = access_.memory.map(std::span{frames}.first(count), std::span{errors}.first(count),
                                        PROT_READ | PROT_WRITE);
  if (!pages) {
    return nothing_written(refused_write(pages.error(), info_.kind, gpa));
  }
  WriteOutcome outcome;
  for (std::size_t i = 0; i < count; ++i) {
    const Gpa here = gpa + outcome.done;
    const bool moved = access_.table != nullptr && access_.table->guest_frame(frames[i]) != Gfn{here}.value();
    if (errors[i] != 0 || moved) {
      layout_.note_refused();
      outcome.failure = refused_write(moved ? ENOENT : errors[i], info_.kind, here);
      break;
    }
    const std::size_t size =
        std::min<std::size_t>(bytes.size() - outcome.done, kPageSize - here.page_offset());
    std::memcpy(pages->page(i).data() + here.page_offset(), bytes.data() + outcome.done, size);
    outcome.done += size;
  }
  return outcome;
}

WriteOutcome XenDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  const auto layout = layout_.load();
  WriteOutcome outcome;
  while (outcome.done < bytes.size() && !outcome.failure) {
    check_for_end();
    if (gone_) {
      return nothing_written(gone_error());
    }
    const Gpa here = gpa + outcome.done;
    const auto stretch = layout->map.at(here);
    if (stretch.region == nullptr || !stretch.region->writable) {
      outcome.failure =
          Error{stretch.region == nullptr ? ErrorKind::hole : ErrorKind::read_only, std::string{kOrigin},
                fmt::format("no memory that can be written at {:#x}", here.value())};
      break;
    }
    if (layout_.allowance() != nullptr && (*layout_.allowance())() < kBatchPages) {
      outcome.failure = Error{ErrorKind::busy, std::string{kOrigin},
                              "the domain's pages are populated on demand, and few are left for that"};
      break;
    }
    const std::size_t max_bytes = kBatchPages * kPageSize - here.page_offset();
    const std::size_t size =
        std::min<std::uint64_t>({bytes.size() - outcome.done, max_bytes, stretch.range.end - here});
    auto part = write_part(*layout, here, bytes.subspan(outcome.done, size));
    outcome.done += part.done;
    outcome.failure = std::move(part.failure);
  }
  return outcome;
}

ReadCost XenDriver::read_cost() const {
  return {std::chrono::microseconds{40}, std::chrono::microseconds{2}};
}

Result<void> XenDriver::refresh() {
  if (gone_) {
    return tl::unexpected{gone_error()};
  }
  auto refreshed = layout_.refresh();
  if (!refreshed) {
    check_for_end();
  } else {
    refreshed = refresh_vcpus();
  }
  return gone_ ? tl::unexpected{gone_error()} : std::move(refreshed);
}

void XenDriver::poll_layout(bool /*missed*/) {
  if (!gone_) {
    layout_.poll();
  }
}

// ---- vCPUs

Result<void> XenDriver::refresh_vcpus() {
  if (gone_) {
    return tl::unexpected{gone_error()};
  }
  const MutexLock lock{vcpus_mutex_};
  auto now = online_vcpus(access_.control.get(), info_.id, info_.vcpus);
  if (!now) { // memory is shown without it, too
    log::debug("xen: domain {}: {}", info_.id, now.error().message());
    return {};
  }
  if (*now != *vcpus_.load()) {
    vcpus_.store(std::make_shared<const VcpuSet>(std::move(*now)));
    listener_.emit(VmEvent::vcpus_changed);
  }
  return {};
}

// ---- registers

Result<void> XenDriver::check_vcpu(VcpuId vcpu) const {
  if (gone_) {
    return tl::unexpected{gone_error()};
  }
  if (vcpu.value() >= info_.vcpus) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no vCPU {}", vcpu.value()));
  }
  return {};
}

const RegisterLayout& XenDriver::register_layout() const { return x86_64::register_layout(); }

/// Xen gives the registers of one vCPU per call, so the domain is paused while there are several.
Result<std::vector<RegisterSet>> XenDriver::read_registers(std::span<const VcpuId> vcpus) {
  for (const VcpuId vcpu : vcpus) {
    if (auto checked = check_vcpu(vcpu); !checked) {
      return tl::unexpected{std::move(checked.error())};
    }
  }
  std::optional<PauseCount::TemporaryPause> pause;
  if (vcpus.size() > 1) {
    pause.emplace(pause_count_);
    if (!pause->result()) {
      return tl::unexpected{pause->result().error()};
    }
  }
  std::vector<RegisterSet> sets;
  for (const VcpuId vcpu : vcpus) {
    const auto registers = read_checked_vcpu(vcpu);
    if (!registers) {
      return tl::unexpected{registers.error()};
    }
    sets.push_back(*registers);
  }
  return sets;
}

bool XenDriver::usually_has(RegisterIndex reg) const {
  return info_.kind != DomainKind::pv || pv_has_register(access_.bits, reg);
}

Result<RegisterSet> XenDriver::read_checked_vcpu(VcpuId vcpu) {
  return info_.kind == DomainKind::pv ? read_pv_registers(access_.control.get(), info_.id, access_.bits, vcpu)
                                      : read_hvm_registers(access_.control.get(), info_.id, vcpu);
}

Result<void> XenDriver::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  if (auto checked = check_vcpu(vcpu); !checked) {
    return checked;
  }
  const PauseCount::TemporaryPause pause{pause_count_}; // what is not set stays as it is now
  if (!pause.result()) {
    return pause.result();
  }
  const auto now = read_checked_vcpu(vcpu);
  if (!now) {
    return tl::unexpected{now.error()};
  }
  const std::vector<RegisterValue> changed = changed_registers(*now, values);
  if (changed.empty()) {
    return {};
  }
  return info_.kind == DomainKind::pv
             ? write_pv_registers(access_.control.get(), info_.id, access_.bits, vcpu, changed)
             : write_hvm_registers(access_.control.get(), info_.id, vcpu, changed);
}

// ---- state

Result<RunStatus> XenDriver::run_status() {
  auto answer = pause_count_.ask();
  if (answer.has_run) {
    listener_.emit(VmEvent::state_unclear);
  }
  return std::move(answer.status);
}

void XenDriver::poll_run_state() {
  if (pause_count_.poll()) {
    listener_.emit(VmEvent::state_unclear);
  }
}

Result<RunStatus> XenDriver::resume() {
  auto status = pause_count_.resume();
  if (status && !status->running) {
    log::info("xen domain {}: our pause has ended, but somebody else's holds it", info_.id);
    listener_.emit(VmEvent::paused);
  }
  return status;
}

std::string XenDriver::resume_ticket() const { return to_text(ResumeTicket{info_.id, info_.uuid}); }

void XenDriver::check_for_end() {
  const auto info = domain_info(access_.control.get(), info_.id);
  const bool ended =
      info ? info->dying || info->uuid != info_.uuid : info.error().kind == ErrorKind::not_found;
  if (ended) {
    end();
  }
}

void XenDriver::end() {
  if (!gone_.exchange(true)) {
    listener_.emit(VmEvent::gone);
  }
}

// ---- words

AccessReport XenDriver::access() const {
  AccessReport report;
  report.map = layout_.load()->source;
  report.ram = fmt::format("foreign mappings by {}, up to {} pages at a time, copied",
                           info_.kind == DomainKind::pv ? "machine frame" : "guest frame", kBatchPages);
  report.registers =
      info_.kind == DomainKind::pv
          ? fmt::format("Xen's context of a {}-bit PV vCPU; cr3 has a machine address", access_.bits)
          : "Xen's saved context of a vCPU, MSRs included";
  report.run_control = "the hypervisor's count of pauses, of which one is ours";
  report.writes = info_.kind == DomainKind::pv
                      ? "foreign mappings; not to page tables, which Xen keeps from being written"
                      : "foreign mappings";
  return report;
}

std::vector<ProbeResult> XenDriver::probe() const {
  const auto layout = layout_.load();
  std::vector<ProbeResult> results;
  const std::string bits = info_.kind == DomainKind::pv ? fmt::format(", {}-bit", access_.bits) : "";
  results.push_back({"domain", true, fmt::format("number {}, {}{}", info_.id, to_string(info_.kind), bits)});
  results.push_back({"memory map", true,
                     fmt::format("{} pages of {} in it: {}", layout->map.ram_bytes() / kPageSize,
                                 layout->pages, layout->source)});
  if (layout_.allowance() != nullptr) {
    const auto [missing, in_stock] = layout_.on_demand();
    results.push_back(
        {"populated on demand", missing <= in_stock,
         fmt::format("{} pages are not populated yet, {} are in stock for them; read only as far as "
                     "the guest is left enough",
                     missing, in_stock)});
  }
  return results;
}

} // namespace vmemfs::xen
