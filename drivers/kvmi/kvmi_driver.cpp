// SPDX-License-Identifier: MIT
#include "drivers/kvmi/kvmi_driver.h"

#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "driver/kit/read_pieces.h"
#include "drivers/kvmi/memory/memory_probe.h"
#include "drivers/kvmi/memory/memory_search.h"
#include "drivers/kvmi/memory/page_requests.h"
#include "util/log.h"
#include "util/work_limit.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOrigin = "kvmi";

/// A job that asks the VM takes no longer, however slowly it answers.
constexpr std::chrono::minutes kMaxJobTime{2};

/// About what a kernel and we need for one page, beside the round trip.
constexpr std::chrono::microseconds kPageCost{5};

RunStatus status_of(bool paused) {
  if (!paused) {
    return {.running = true, .detail = "running"};
  }
  return {.running = false,
          .detail = "paused by a KVMI event of each vCPU",
          .by_command = true,
          // QEMU's devices go on: a request to a disk that is under way still fills memory.
          .memory_changes = true};
}

} // namespace

KvmiDriver::KvmiDriver(std::shared_ptr<Hub> hub, std::shared_ptr<GuestLink> link, MappingSettings mapping,
                       const DriverContext& context)
    : hub_{std::move(hub)}, link_{std::move(link)}, mapping_{std::move(mapping)},
      identity_{.name = link_->greeting().name,
                .uuid = link_->greeting().uuid,
                .driver = "kvmi",
                .key = GuestLink::key_of(link_->greeting()),
                .architecture = "x86_64"},
      worker_{context.worker} {
  vcpus_.store(std::make_shared<const VcpuSet>());
  map_.store(std::make_shared<const MemoryMap>());
  map_source_.store(std::make_shared<const std::string>());
}

KvmiDriver::~KvmiDriver() {
  poll_.end();
  link_->unsubscribe();
  leaving_.request_stop();
  lease_.end();
  const auto now = attached();
  if (now == nullptr) {
    return;
  }
  if (now->mapping.memory != nullptr) {
    now->mapping.memory->end();
  }
  if (now->session->paused()) {
    if (const auto resumed = now->session->resume(); !resumed) {
      now->session->connection().close("vmemfs leaves the VM"); // which resumes it
    }
  }
}

Result<std::unique_ptr<KvmiDriver>> KvmiDriver::attach(std::string_view domain, std::shared_ptr<Hub> hub,
                                                       Clock::time_point deadline, MappingSettings mapping,
                                                       const DriverContext& context) {
  auto link = hub->wait_for(domain, deadline);
  if (!link) {
    return tl::unexpected{std::move(link.error())};
  }
  std::unique_ptr<KvmiDriver> driver{
      new KvmiDriver{std::move(hub), std::move(*link), std::move(mapping), context}};
  if (!driver->link_->subscribe([raw = driver.get()](GuestLink::State state) { raw->on_link(state); })) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("the VM '{}' is attached already; detach it first", printable(domain)));
  }
  if (auto followed = driver->follow(); !followed) {
    return tl::unexpected{std::move(followed.error())};
  }
  if (driver->attached() == nullptr || driver->gone()) {
    return driver->closed_at_once();
  }
  // Hot-plugged vCPUs and memory; and a connection that could not be used at first.
  driver->poll_ = context.watcher.watch_every_second([raw = driver.get()] { raw->follow_later(); });
  return driver;
}

std::shared_ptr<KvmiDriver::Attached> KvmiDriver::attached() const {
  const MutexLock lock{attached_mutex_};
  return attached_;
}

tl::unexpected<Error> KvmiDriver::gone_error() const {
  return fail(ErrorKind::vm_gone, kOrigin, fmt::format("the VM '{}' has ended", printable(identity_.name)));
}

tl::unexpected<Error> KvmiDriver::closed_at_once() const {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("the VM '{}' closed its connection at once; compare key= with the secret of QEMU's "
                          "-object introspection",
                          printable(identity_.name)));
}

Result<std::shared_ptr<KvmiDriver::Attached>> KvmiDriver::usable() const {
  if (gone()) {
    return gone_error();
  }
  auto now = attached();
  if (now->session->ended()) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("the VM '{}' has lost its connection ({}); it is waited for for {} ms",
                            printable(identity_.name), now->session->connection().reason(),
                            hub_->settings().reconnect.count()));
  }
  return now;
}

void KvmiDriver::on_link(GuestLink::State state) {
  switch (state) {
  case GuestLink::State::connected: follow_later(); break;
  case GuestLink::State::lost:
    unmap_later();
    listener_.emit(VmEvent::state_unclear);
    break; // the kernel has resumed the vCPUs
  case GuestLink::State::gone:
    gone_ = true;
    unmap_later();
    listener_.emit(VmEvent::gone);
    break;
  }
}

void KvmiDriver::follow_later() {
  if (gone() || follow_pending_.exchange(true)) {
    return;
  }
  post([](KvmiDriver& driver) {
    driver.follow_pending_ = false;
    if (const auto followed = driver.follow(); !followed && !driver.gone()) {
      log::debug("kvmi {}: {}", printable(driver.identity_.name), followed.error().message());
    }
  });
}

void KvmiDriver::post(std::function<void(KvmiDriver&)> job) {
  worker_.post([lease = lease_.share(), stop = leaving_.get_token(), job = std::move(job)] {
    const WorkLimit limit{Clock::now() + kMaxJobTime, stop};
    lease.with(job);
  });
}

void KvmiDriver::map_later() {
  post([](KvmiDriver& driver) {
    if (const auto now = driver.attached(); now != nullptr && now->mapping.memory != nullptr) {
      now->mapping.memory->map_wanted();
    }
  });
}

/// The connection has ended. Not at once, as unmapping asks the kernel page by page.
void KvmiDriver::unmap_later() {
  post([](KvmiDriver& driver) {
    const auto now = driver.attached();
    if (now != nullptr && now->mapping.memory != nullptr && (driver.gone() || now->session->ended())) {
      now->mapping.memory->end();
    }
  });
}

Result<void> KvmiDriver::follow() {
  const MutexLock lock{follow_mutex_};
  const auto session = link_->session();
  if (session == nullptr || session->ended()) {
    return {}; // the hub reports it, and the next connection
  }
  const auto now = attached();
  if (now == nullptr || now->session != session) {
    return adopt(session);
  }
  if (now->mapping.memory != nullptr) {
    now->mapping.memory->unmap_unused();
  }
  const auto facts = session->prepare();
  return facts ? update(*session, *facts, false) : tl::unexpected{facts.error()};
}

Result<void> KvmiDriver::adopt(const std::shared_ptr<Session>& session) {
  if (auto prepared = session->prepare(); !prepared) {
    if (prepared.error().kind == ErrorKind::source_failed && !session->connection().answered()) {
      return closed_at_once();
    }
    return tl::unexpected{std::move(prepared.error())};
  }
  const auto begin = Clock::now();
  const auto facts = session->prepare(); // two exchanges on a connection that is in use
  if (!facts) {
    return tl::unexpected{facts.error()};
  }
  round_trip_ = (Clock::now() - begin) / 2;
  if (auto updated = update(*session, *facts, true); !updated) {
    return updated;
  }
  const auto former = attached();
  const bool again = former != nullptr;
  if (again && former->mapping.memory != nullptr) {
    former->mapping.memory->end();
  }
  {
    auto fresh = std::make_shared<Attached>(session, mapping_, [this] { map_later(); });
    const MutexLock lock{attached_mutex_};
    attached_.swap(fresh);
  }
  if (again) {
    log::debug("kvmi {}: connected again", printable(identity_.name));
    listener_.emit(VmEvent::state_unclear); // it may have been reset or restored meanwhile
  }
  return {};
}

Result<void> KvmiDriver::update(Session& session, const Facts& facts, bool probe_again) {
  if (probe_again || facts.memory_end != facts_.memory_end) {
    const auto found = search_memory(session, facts.memory_end);
    if (!found) {
      return tl::unexpected{found.error()};
    }
    auto map = map_of(found->ranges);
    if (!map) {
      return tl::unexpected{std::move(map.error())};
    }
    map_source_.store(std::make_shared<const std::string>(found->how));
    if (*map != *map_.load()) {
      const auto now = attached();
      const MappedMemory::Suspension unmapped{now != nullptr ? now->mapping.memory.get() : nullptr};
      map_.store(std::make_shared<const MemoryMap>(std::move(*map)));
      listener_.emit(VmEvent::layout_changed);
    }
  }
  facts_ = facts;
  const VcpuSet vcpus = VcpuSet::first(facts.vcpus);
  if (vcpus == *vcpus_.load()) {
    return {};
  }
  vcpus_.store(std::make_shared<const VcpuSet>(vcpus));
  listener_.emit(VmEvent::vcpus_changed);
  return session.pause_new_vcpus();
}

Result<void> KvmiDriver::refresh() {
  auto now = usable();
  if (!now) {
    return tl::unexpected{std::move(now.error())};
  }
  const MutexLock lock{follow_mutex_};
  const auto facts = (*now)->session->prepare();
  return facts ? update(*(*now)->session, *facts, true) : tl::unexpected{facts.error()};
}

void KvmiDriver::read(std::span<ReadPiece> pieces) {
  if (!gone()) {
    const auto now = attached();
    read_pieces(*now->session, *map_.load(), now->mapping.memory.get(), pieces);
  }
  if (gone()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
  }
}

WriteOutcome KvmiDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  const auto now = usable();
  if (!now) {
    return {0, now.error()};
  }
  const auto stretch = map_.load()->at(gpa);
  if (stretch.region == nullptr || stretch.range.size() < bytes.size()) {
    return {0, Error{ErrorKind::hole, std::string{kOrigin},
                     fmt::format("cannot write at {:#x}: the VM has no memory there", gpa.value())}};
  }
  if (!stretch.region->writable) {
    return {0, Error{ErrorKind::read_only, std::string{kOrigin},
                     fmt::format("cannot write at {:#x}: it is the firmware", gpa.value())}};
  }
  WriteOutcome outcome = write_pages(*(*now)->session, gpa, bytes);
  if (outcome.failure && gone()) {
    outcome.failure = gone_error().value();
  }
  return outcome;
}

ReadCost KvmiDriver::read_cost() const { return {.call = round_trip_.load(), .page = kPageCost}; }

const RegisterLayout& KvmiDriver::register_layout() const { return x86_64::register_layout(); }

Result<std::vector<RegisterSet>> KvmiDriver::read_registers(std::span<const VcpuId> vcpus) {
  return usable().and_then([&](const auto& now) { return now->registers.read(vcpus); });
}

Result<void> KvmiDriver::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  const auto now = usable();
  if (!now) {
    return tl::unexpected{now.error()};
  }
  const bool was_paused = (*now)->session->paused();
  const MappedMemory::Suspension unmapped{was_paused ? nullptr : (*now)->mapping.memory.get()};
  if (!was_paused) {
    if (auto paused = (*now)->session->pause(); !paused) {
      return paused;
    }
  }
  auto written = (*now)->registers.write(vcpu, values);
  if (!was_paused) {
    auto resumed = (*now)->session->resume();
    (*now)->registers.resumed();
    return written ? resumed : written;
  }
  return written;
}

Result<RunStatus> KvmiDriver::run_status() {
  return usable().map([](const auto& now) { return status_of(now->session->paused()); });
}

Result<RunStatus> KvmiDriver::pause() {
  return usable().and_then([](const auto& now) {
    const MappedMemory::Suspension unmapped{now->mapping.memory.get()};
    return now->session->pause().map([&] { return status_of(now->session->paused()); });
  });
}

Result<RunStatus> KvmiDriver::resume() {
  if (gone()) {
    return gone_error();
  }
  const auto now = attached();
  if (now->session->ended()) {
    return status_of(false); // the kernel has resumed it
  }
  const MappedMemory::Suspension unmapped{now->mapping.memory.get()};
  auto resumed = now->session->resume();
  now->registers.resumed();
  if (!resumed && !now->session->ended()) {
    return tl::unexpected{std::move(resumed.error())};
  }
  return status_of(false);
}

std::vector<ProbeResult> KvmiDriver::probe() const {
  const auto now = attached();
  const bool has_query = now->session->has_query();
  return {{"QUERY_PHYSICAL", has_query, has_query ? "the VM has it" : "the VM does not have or not allow it"},
          now->mapping.attempt};
}

AccessReport KvmiDriver::access() const {
  const auto now = attached();
  const std::string_view dialect = to_string(now->session->dialect());
  AccessReport report;
  report.map = fmt::format("KVMI ({}): {}", dialect, *map_source_.load());
  report.ram = fmt::format("KVMI ({}) at {}, up to {} pages in one round trip", dialect,
                           printable(hub_->settings().endpoint.text()), Connection::kMaxInFlight);
  if (now->mapping.memory != nullptr) {
    report.ram += fmt::format("; {}", now->mapping.memory->describe());
  }
  report.registers = "KVMI; without debug registers. Of a running VM they are not of one instant";
  report.run_control = "each vCPU waits in a KVMI event; it runs again when vmemfs ends. Devices go on";
  report.writes = "KVMI, page by page; general registers, rip and rflags can be set";
  return report;
}

} // namespace vmemfs::kvmi
