// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/gdbstub_driver.h"

#include "core/text.h"
#include "driver/kit/read_pieces.h"
#include "driver/kit/user_map.h"
#include "drivers/gdbstub/target/server_map.h"

#include <algorithm>
#include <cstddef>
#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOrigin = "gdbstub";

Result<MemoryMap> server_map(const ServerFacts& facts) {
  if (facts.memory_map) {
    return parse_memory_map_xml(*facts.memory_map);
  }
  return fail(ErrorKind::unsupported, kOrigin,
              "the server does not say where its target has memory; give the ranges by maps=, such as "
              "maps=0-128M for 128 MiB from 0 (of QEMU, its monitor command 'info mtree -f' lists them)");
}

std::string machine_name(const ServerFacts& facts) {
  return std::string{facts.description ? machine_of(facts.description->architecture) : std::string_view{}};
}

} // namespace

GdbstubDriver::GdbstubDriver(const SessionOptions& options, std::unique_ptr<GdbSession> session,
                             MemoryMap map, bool map_by_user)
    : session_{std::move(session)}, identity_{fmt::format("gdb-{}", to_string(options.address)), "",
                                              "gdbstub", "", machine_name(session_->facts())},
      map_{std::make_shared<const MemoryMap>(std::move(map))}, map_by_user_{map_by_user},
      alone_{options.alone}, plan_{session_->facts().description.and_then(&plan_registers)} {
  threads_.store(std::make_shared<const Threads>(session_->facts().threads));
}

Result<std::unique_ptr<GdbstubDriver>>
GdbstubDriver::attach(const SessionOptions& options, const std::string& maps, const DriverContext& context) {
  // Checked first, as connecting stops the target.
  auto map = maps.empty() ? Result<MemoryMap>{} : parse_user_map(maps, "gdbstub");
  if (!map) {
    return tl::unexpected{std::move(map.error())};
  }
  auto session = GdbSession::open(options);
  if (!session) {
    return tl::unexpected{std::move(session.error())};
  }
  if (maps.empty()) {
    map = server_map((*session)->facts());
    if (!map) {
      return tl::unexpected{std::move(map.error())};
    }
  }
  std::unique_ptr<GdbstubDriver> driver{
      new GdbstubDriver{options, std::move(*session), std::move(*map), !maps.empty()}};
  if (auto measured = driver->measure(); !measured) {
    return tl::unexpected{std::move(measured.error())};
  }
  driver->watch_ = context.watcher.watch_every_second([raw = driver->session_.get()] { raw->poll(); });
  return driver;
}

/// With a page and with some more, of memory that is there.
Result<void> GdbstubDriver::measure() {
  constexpr std::size_t kMuch = 16 * kPageSize;
  const auto ram = std::ranges::find(map_->regions(), RegionKind::ram, &Region::kind);
  if (ram == map_->regions().end()) {
    return {};
  }
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kMuch, ram->range.size()));
  const auto time = [&](std::size_t size) -> Result<std::chrono::nanoseconds> {
    ReadPiece piece{ram->range.begin, std::span{buffer}.first(size), 0, std::nullopt};
    const auto begin = Clock::now();
    session_->read({&piece, 1}, *map_);
    // A page that cannot be read is no reason to refuse the rest.
    if (piece.failure && piece.failure != ErrorKind::bad_page) {
      return fail(*piece.failure, kOrigin,
                  fmt::format("cannot read the target's memory at {:#x}: {}", ram->range.begin.value(),
                              to_string(*piece.failure)));
    }
    return Clock::now() - begin;
  };
  const auto page = time(std::min<std::size_t>(kPageSize, buffer.size()));
  const auto all = page ? time(buffer.size()) : page;
  if (!all) {
    return tl::unexpected{all.error()};
  }
  const auto each = (*all - *page) / static_cast<std::int64_t>(kMuch / kPageSize - 1);
  cost_ = {*page, std::max<std::chrono::nanoseconds>(each, std::chrono::nanoseconds{0})};
  return {};
}

void GdbstubDriver::read(std::span<ReadPiece> pieces) {
  if (gone()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
    return;
  }
  session_->read(pieces, *map_);
}

VcpuSet GdbstubDriver::vcpus() const { return vcpus_of(*threads_.load()).value_or(VcpuSet{}); }

void GdbstubDriver::set_listener(VmListener* listener) { session_->set_listener(listener); }

/// vCPUs come and go only in QEMU; while the target runs it cannot be asked for them.
Result<void> GdbstubDriver::refresh() {
  auto threads = session_->threads();
  if (!threads) {
    return threads.error().kind == ErrorKind::busy ? Result<void>{}
                                                   : tl::unexpected{std::move(threads.error())};
  }
  if (*threads != *threads_.load()) {
    threads_.store(std::make_shared<const Threads>(std::move(*threads)));
    session_->report(VmEvent::vcpus_changed);
  }
  return {};
}

Result<std::vector<RegisterSet>> GdbstubDriver::read_registers(std::span<const VcpuId> vcpus) {
  const auto known = threads_.load();
  std::vector<std::string> ids;
  for (const VcpuId vcpu : vcpus) {
    const auto thread = std::ranges::find(*known, vcpu, &ServerThread::vcpu);
    if (thread == known->end()) {
      return fail(ErrorKind::not_found, kOrigin, fmt::format("the target has no vCPU {}", vcpu.value()));
    }
    ids.push_back(thread->id);
  }
  return session_->read_registers(ids, *plan_);
}

bool GdbstubDriver::usually_has(RegisterIndex reg) const {
  return std::ranges::find(plan_->registers, reg, &PlannedRegister::reg) != plan_->registers.end();
}

AccessReport GdbstubDriver::access() const {
  const ServerFacts& facts = session_->facts();
  AccessReport report;
  report.map = map_by_user_ ? "the parameter maps=" : "the server's memory map";
  report.ram = fmt::format(
      "packets {} of {} bytes; {}; only while the target is stopped: pause it to read",
      facts.binary_reads ? 'x' : 'm', facts.read_bytes,
      facts.physical ? "guest physical addresses (QEMU's PhyMemMode)"
                     : "addresses are what the server calls them, as a rule virtual ones of the current CPU");
  report.registers = plan_ ? fmt::format("read: packets g and p, {} of {} registers; set: not by this driver",
                                         plan_->registers.size(), plan_->layout->size())
                           : fmt::format("none: {}", plan_.error().text);
  report.no_cache =
      "a server does not report that somebody else resumes its target; alone=on says nobody does";
  report.run_control = fmt::format("by the server; connecting stopped the target, detaching {}",
                                   session_->leaves_running() ? "resumes it" : "leaves it stopped");
  return report;
}

std::vector<ProbeResult> GdbstubDriver::probe() const {
  const ServerFacts& facts = session_->facts();
  const std::string_view found = !facts.found_running   ? "unknown"
                                 : *facts.found_running ? "running"
                                                        : "stopped";
  return {{"server", true, fmt::format("answers; stopped by {}", printable(facts.stop_report, 20))},
          {"before connecting", facts.found_running.has_value(), std::string{found}},
          {"physical addresses", facts.physical,
           facts.physical ? "by QEMU's PhyMemMode" : "the server has no such mode"},
          {"target description", facts.description.has_value(),
           facts.description ? printable(facts.description->architecture) : facts.description.error().text},
          {"memory map", facts.memory_map.has_value(),
           facts.memory_map ? "by the server" : "the server has none"}};
}

} // namespace vmemfs::gdbstub
