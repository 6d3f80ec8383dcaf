#include "drivers/qemu/qemu_driver.h"

#include "drivers/qemu/gdb_memory.h"
#include "drivers/qemu/gdb_registers.h"
#include "drivers/qemu/qemu_discovery.h"
#include "drivers/qemu/resume_ticket.h"
#include "drivers/qemu/vcpu_activity.h"
#include "drivers/qemu_text/hmp_registers.h"
#include "util/log.h"
#include "util/worker.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <system_error>
#include <thread>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// While firmware runs, the layout may change between two looks at it; then another pair is taken.
constexpr int kLayoutTries = 20;
constexpr std::chrono::milliseconds kBetweenTries{20};
/// Who talks to a monitor now and then is done within this; who keeps it is not waited for.
constexpr std::chrono::milliseconds kForOtherClient{300};

ReadPiece& all_gone(ReadPiece& piece) {
  piece.done = 0;
  piece.failure = ErrorKind::vm_gone;
  return piece;
}

WriteOutcome nothing_written(Error why) { return {0, std::move(why)}; }

Error gone_error() { return {ErrorKind::vm_gone, "qemu", "the VM has ended"}; }

} // namespace

QemuDriver::QemuDriver(FoundQemu qemu, const QemuOptions& options, const DriverContext& context)
    : qemu_{std::move(qemu)}, options_{options}, context_{context},
      identity_{qemu_.command_line.name, qemu_.command_line.uuid, "qemu", process_key(*qemu_.process)},
      vcpus_{qemu_.command_line.vcpus}, writer_{qemu_.process}, lease_{std::make_shared<Lease>()} {
  lease_->driver = this;
}

QemuDriver::~QemuDriver() {
  const std::scoped_lock lock{lease_->mutex};
  lease_->driver = nullptr;
}

Result<std::unique_ptr<QemuDriver>> QemuDriver::attach(FoundQemu qemu, const QemuOptions& options,
                                                       const DriverContext& context) {
  std::unique_ptr<QemuDriver> driver{new QemuDriver{std::move(qemu), options, context}};
  driver->probe_kvm();
  if (auto started = driver->probe_flat_view(); !started) {
    return tl::unexpected{started.error()};
  }
  driver->probe_monitors();
  if (auto taken = driver->take_first_layout(); !taken) {
    return tl::unexpected{taken.error()};
  }
  if (auto watched = driver->watch_end(); !watched) {
    return tl::unexpected{watched.error()};
  }
  driver->attached_ = true;
  return driver;
}

void QemuDriver::note(std::string what, bool ok, std::string detail) {
  log::debug("qemu {}: {}: {}: {}", qemu_.process->pid(), what, ok ? "yes" : "no", detail);
  const std::scoped_lock lock{probe_mutex_};
  const auto known = std::ranges::find(probe_, what, &ProbeResult::what);
  if (known != probe_.end()) {
    *known = {std::move(what), ok, std::move(detail)};
  } else {
    probe_.push_back({std::move(what), ok, std::move(detail)});
  }
}

/// Takes the first monitor that answers.
void QemuDriver::probe_monitors() {
  if (qemu_.monitor_paths.empty()) {
    note("monitor", false, qemu_.no_monitor);
  }
  for (const std::string& path : qemu_.monitor_paths) {
    if (!is_free(path)) {
      note(fmt::format("monitor {}", path), false,
           "somebody else is connected to it, and a monitor serves one client at a time; give QEMU one more "
           "QMP socket, or attach again when it is free");
      continue;
    }
    auto monitor = std::make_unique<Monitor>(path, options_.timeout, options_.keep_monitor,
                                             [this](const QmpEvent& event) { on_monitor_event(event); });
    auto session = monitor->session();
    if (!session) {
      note(fmt::format("monitor {}", path), false, session.error().message());
      continue;
    }
    if (const auto vcpus = session->vcpus()) {
      take_vcpus(*vcpus);
    }
    if (identity_.name.empty()) {
      identity_.name = session->name().value_or("");
    }
    if (identity_.uuid.empty()) {
      identity_.uuid = session->uuid().value_or("");
    }
    note(fmt::format("monitor {}", path), true,
         fmt::format("QEMU {}, {}", session->qemu_version(),
                     options_.keep_monitor ? "kept open" : "held for single commands only"));
    session = tl::unexpected{Error{}}; // its turn ends before the monitor may
    monitor_ = std::move(monitor);
    return;
  }
}

void QemuDriver::probe_kvm() {
  const pid_t pid = qemu_.process->pid();
  const auto fds = list_fds(pid);
  if (!fds) {
    note("kvm", false, fds.error().message());
    return;
  }
  kvm_ = std::ranges::any_of(*fds, [&](int fd) { return fd_target(pid, fd) == "anon_inode:kvm-vm"; });
  note("kvm", kvm_, kvm_ ? "QEMU has a VM of KVM open" : "QEMU has no VM of KVM open: it emulates (TCG)");
}

bool QemuDriver::is_free(const std::string& monitor_path) const {
  const auto limit = std::chrono::steady_clock::now() + std::min(kForOtherClient, options_.timeout);
  while (has_client(monitor_path, qemu_.process->pid())) {
    if (std::chrono::steady_clock::now() >= limit) {
      return false;
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  return true;
}

/// Before the monitor: a QEMU that is just starting is not to be disturbed, and one that waits for the first
/// client of its monitor (wait=on) must not take us for that.
Result<void> QemuDriver::probe_flat_view() {
  if (options_.map == MapSource::monitor || options_.map == MapSource::guess) {
    return {};
  }
  const auto limit = std::chrono::steady_clock::now() + options_.timeout;
  auto reader = FlatViewReader::open(qemu_.process);
  while (!reader && reader.error().kind == ErrorKind::busy) {
    if (std::chrono::steady_clock::now() >= limit) {
      return fail(ErrorKind::busy, "qemu",
                  fmt::format("QEMU (pid {}) has no memory yet: it is starting up, or waits for something",
                              qemu_.process->pid()));
    }
    std::this_thread::sleep_for(kBetweenTries);
    reader = FlatViewReader::open(qemu_.process);
  }
  if (!reader) {
    note("flat view", false, reader.error().message());
    return {};
  }
  flat_view_ = std::move(*reader);
  note("flat view", true, "read from QEMU's memory by its exported symbol, all self-checks passed");
  return {};
}

Result<Layout> QemuDriver::layout_by_monitor() {
  auto session = monitor_->session();
  if (!session) {
    return tl::unexpected{session.error()};
  }
  return layout_from_monitor(*session);
}

/// Both sources must say the same; the guest may move its windows between the two, so it tries again.
Result<Layout> QemuDriver::read_checked_layout() {
  for (int i = 0; i < kLayoutTries; ++i) {
    const auto by_monitor = layout_by_monitor();
    if (!by_monitor && by_monitor.error().kind != ErrorKind::busy) {
      return tl::unexpected{by_monitor.error()};
    }
    auto by_view = layout_from_flat_view(*flat_view_);
    if (by_monitor && by_view && same_memory(*by_monitor, *by_view)) {
      return by_view;
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  return fail(ErrorKind::source_failed, "qemu",
              "monitor and flat view kept telling different memory layouts; map=monitor or map=flatview "
              "takes one of them");
}

Result<void> QemuDriver::take_first_layout() {
  if (options_.map == MapSource::guess) {
    map_source_ = "GUESSED from machine type and memory size, as map=guess asked; it may be wrong";
  } else if (options_.map != MapSource::flat_view && monitor_ != nullptr && flat_view_) {
    map_source_ = "monitor (info mtree -f, gpa2hva), equal to QEMU's own flat view, which is then followed";
    auto layout = read_checked_layout();
    if (!layout) {
      return tl::unexpected{layout.error()};
    }
    return publish(std::move(*layout), Mappings::renew);
  } else if (flat_view_) {
    map_source_ = "QEMU's own flat view, followed";
  } else if (options_.map != MapSource::flat_view && monitor_ != nullptr) {
    map_source_ = "monitor (info mtree -f, gpa2hva), read anew on refresh, resume, reset and reads outside";
  } else {
    std::string reasons;
    for (const ProbeResult& result : probe()) {
      reasons += fmt::format("; {}: {}", result.what, result.detail);
    }
    return fail(ErrorKind::unsupported, "qemu",
                fmt::format("no way to the memory map of QEMU (pid {}){}; map=guess would guess it",
                            qemu_.process->pid(), reasons));
  }
  auto layout = read_layout();
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  return publish(std::move(*layout), Mappings::renew);
}

Result<Layout> QemuDriver::read_layout() {
  if (options_.map == MapSource::guess) {
    return layout_by_guess(qemu_.command_line, qemu_.process->pid());
  }
  return flat_view_ ? layout_from_flat_view(*flat_view_) : layout_by_monitor();
}

/// Called with layout_mutex_ held, or while attaching.
Result<void> QemuDriver::publish(Layout layout, Mappings mappings) {
  const auto before = memory_.load();
  auto memory = GuestMemory::open(std::move(layout), qemu_.process,
                                  mappings == Mappings::keep ? before.get() : nullptr);
  if (!memory) {
    return tl::unexpected{memory.error()};
  }
  const bool changed = before != nullptr && !same_memory(before->layout(), (*memory)->layout());
  memory_.store(std::move(*memory));
  if (gone()) { // it ended meanwhile: nothing of it stays mapped
    memory_.store(nullptr);
  }
  if (changed) {
    emit(VmEvent::layout_changed);
  }
  return {};
}

Result<void> QemuDriver::refresh() {
  count_vcpus();
  return refresh(Mappings::renew);
}

/// vCPUs come and go as DIMMs do. Without a monitor the number on the command line stays.
void QemuDriver::count_vcpus() {
  if (monitor_ == nullptr) {
    return;
  }
  auto session = monitor_->session();
  if (const auto vcpus = session.and_then([](MonitorSession& open) { return open.vcpus(); })) {
    take_vcpus(*vcpus);
  }
}

void QemuDriver::take_vcpus(const std::vector<QemuVcpu>& vcpus) {
  std::uint32_t count = 0;
  std::vector<pid_t> threads;
  for (const QemuVcpu& vcpu : vcpus) {
    count = std::max(count, vcpu.id.value() + 1);
    threads.push_back(vcpu.thread);
  }
  vcpus_ = count;
  auto activity = VcpuActivity::open(*qemu_.process, threads);
  if (!activity) {
    note("vCPU activity", false, activity.error().message());
    return;
  }
  note("vCPU activity", true, fmt::format("seen in the CPU time of {} threads", activity->threads().size()));
  if (standstill_.watch(std::move(*activity))) {
    emit(VmEvent::state_unclear);
  }
}

Result<void> QemuDriver::refresh(Mappings mappings) {
  const std::scoped_lock lock{layout_mutex_};
  if (gone()) {
    return fail(ErrorKind::vm_gone, "qemu", "the VM has ended");
  }
  auto layout = read_layout();
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  return publish(std::move(*layout), mappings);
}

void QemuDriver::follow_layout(bool missed) {
  if (!flat_view_) {
    if (missed && miss_limit_.allows()) {
      refresh_later();
    }
    return;
  }
  const auto memory = memory_.load();
  const auto stamp = flat_view_->stamp();
  if (memory == nullptr || !stamp || memory->layout().stamp == *stamp) {
    return;
  }
  const auto refreshed = refresh(Mappings::keep);
  if (!refreshed && !gone()) {
    log::debug("qemu {}: following the layout: {}", qemu_.process->pid(), refreshed.error().message());
  }
}

void QemuDriver::follow_state() {
  if (standstill_.look()) {
    emit(VmEvent::state_unclear);
  }
}

std::optional<std::chrono::milliseconds> QemuDriver::state_delay() const {
  return monitor_ != nullptr && standstill_.watching() ? std::optional{Standstill::kDelay} : std::nullopt;
}

ReadCost QemuDriver::read_cost() const {
  return {std::chrono::microseconds{2}, std::chrono::nanoseconds{150}};
}

/// For the monitor's way, which a reader must not wait for.
void QemuDriver::refresh_later() {
  if (refresh_pending_.exchange(true)) {
    return;
  }
  context_.worker.post([lease = lease_] {
    const std::scoped_lock lock{lease->mutex};
    if (lease->driver != nullptr) {
      lease->driver->refresh_pending_ = false;
      if (const auto refreshed = lease->driver->refresh(); !refreshed) {
        log::warning("qemu: reading the memory layout anew: {}", refreshed.error().message());
      }
    }
  });
}

std::shared_ptr<const MemoryMap> QemuDriver::memory_map() const {
  auto memory = memory_.load();
  if (memory == nullptr) { // the VM has ended
    return std::make_shared<const MemoryMap>();
  }
  return {memory, &memory->map()};
}

void QemuDriver::read(std::span<ReadPiece> pieces) {
  const auto memory = memory_.load();
  if (memory == nullptr) {
    std::ranges::for_each(pieces, all_gone);
    return;
  }
  memory->read(pieces);
}

std::span<const std::byte> QemuDriver::borrow(Gpa gpa, std::size_t size, MemoryPin& pin) {
  const auto memory = memory_.load();
  if (memory == nullptr) {
    return {};
  }
  const auto bytes = memory->borrow(gpa, size);
  if (!bytes.empty()) {
    pin = memory;
  }
  return bytes;
}

Result<RegisterSet> QemuDriver::read_registers(VcpuId vcpu) {
  auto session = monitor_->session();
  const auto text = session.and_then([](MonitorSession& open) { return open.registers_text(); });
  const auto sets = text.and_then([](const std::string& printed) { return parse_info_registers(printed); });
  if (!sets) {
    return tl::unexpected{sets.error()};
  }
  if (vcpu.value() >= sets->size() || (*sets)[vcpu.value()].empty()) {
    return fail(ErrorKind::not_found, "qemu", fmt::format("QEMU has no vCPU {}", vcpu.value()));
  }
  return (*sets)[vcpu.value()];
}

Result<void> QemuDriver::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  if (auto free = check_stub_is_free(); !free) {
    return free;
  }
  const auto now = read_registers(vcpu);
  if (!now) {
    return tl::unexpected{now.error()};
  }
  // A whole `regs` file may be written back after an edit: what has not changed need not be set.
  std::vector<RegisterValue> changed;
  std::ranges::copy_if(values, std::back_inserter(changed), [&](const RegisterValue& value) {
    return now->get(value.reg) != value.value || check_settable({&value, 1}).has_value();
  });
  auto session = monitor_->session();
  return session.and_then([&](MonitorSession& open) { return set_registers(open, vcpu, changed); });
}

Result<void> QemuDriver::check_stub_is_free() const {
  if (qemu_.command_line.gdbstub) {
    return fail(ErrorKind::busy, "qemu",
                "QEMU was started with -s or -gdb, and there is one gdbstub only: set registers and memory "
                "with that debugger");
  }
  return {};
}

WriteOutcome QemuDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  const std::scoped_lock lock{write_mutex_};
  WriteOutcome outcome = kvm_ ? write_from_outside(gpa, bytes) : write_by_stub(gpa, bytes);
  return gone() ? nothing_written(gone_error()) : std::move(outcome);
}

WriteOutcome QemuDriver::write_from_outside(Gpa gpa, std::span<const std::byte> bytes) {
  if (const auto fresh = take_newest_layout(); !fresh) {
    return nothing_written(fresh.error());
  }
  const auto memory = memory_.load();
  return memory != nullptr ? memory->write(writer_, gpa, bytes) : nothing_written(gone_error());
}

/// Before a write: an old layout would have it go to what is something else by now.
Result<void> QemuDriver::take_newest_layout() {
  if (!flat_view_ && options_.map != MapSource::guess) {
    return refresh(Mappings::keep);
  }
  follow_layout(false);
  return {};
}

/// Each visit takes a look at the layout first: the stub would write to the registers of a device.
WriteOutcome QemuDriver::write_by_stub(Gpa gpa, std::span<const std::byte> bytes) {
  if (monitor_ == nullptr) {
    return nothing_written({ErrorKind::unsupported, "qemu", describe_writes()});
  }
  if (const auto free = check_stub_is_free(); !free) {
    return nothing_written(free.error());
  }
  if (const auto fresh = take_newest_layout(); !fresh) {
    return nothing_written(fresh.error());
  }
  auto session = monitor_->session();
  if (!session) {
    return nothing_written(session.error());
  }
  WriteOutcome outcome;
  while (outcome.done < bytes.size() && !outcome.failure) {
    follow_layout(false);
    const auto memory = memory_.load();
    if (memory == nullptr) {
      return nothing_written(gone_error());
    }
    const Gpa here = gpa + outcome.done;
    const auto part = bytes.subspan(outcome.done, std::min(kMostOfAVisit, bytes.size() - outcome.done));
    auto allowed = memory->writable(here, part.size());
    if (allowed.size > 0) {
      auto written = write_by_gdbstub(*session, here, part.first(allowed.size));
      outcome.done += written.done;
      outcome.failure = std::move(written.failure);
    }
    if (!outcome.failure) {
      outcome.failure = std::move(allowed.failure);
    }
  }
  return outcome;
}

std::string QemuDriver::describe_writes() const {
  if (kvm_) {
    return "from outside, through /proc/PID/mem of QEMU";
  }
  if (monitor_ == nullptr) {
    return "none: without KVM only QEMU's gdbstub reaches code that QEMU has translated already, and there "
           "is "
           "no monitor to switch it on: " +
           why_no_monitor();
  }
  if (const auto free = check_stub_is_free(); !free) {
    return "none: " + free.error().text;
  }
  return fmt::format("QEMU's gdbstub, switched on for it; a running guest is stopped for a few "
                     "milliseconds for each {} KiB",
                     kMostOfAVisit >> 10U);
}

Result<RunStatus> QemuDriver::run_status() {
  auto session = monitor_->session();
  if (!session) {
    return tl::unexpected{session.error()};
  }
  if (!standstill_.watching()) { // a vCPU was unplugged
    if (const auto vcpus = session->vcpus()) {
      take_vcpus(*vcpus);
    }
  }
  auto answer = standstill_.ask([&] { return session->run_status(); });
  if (answer.has_run) {
    emit(VmEvent::state_unclear);
  }
  return std::move(answer.status);
}

Result<void> QemuDriver::pause() { return monitor_->stop(); }

Result<void> QemuDriver::resume() {
  standstill_.forget();
  auto resumed = monitor_->cont();
  if (resumed && !flat_view_) {
    refresh_later();
  }
  return resumed;
}

std::string QemuDriver::resume_ticket() const {
  std::error_code error; // the path may be relative, and the other process works elsewhere
  return to_text(ResumeTicket{qemu_.process->pid(), qemu_.process->start_time(), options_.timeout,
                              std::filesystem::absolute(monitor_->path(), error)});
}

std::string QemuDriver::why_no_monitor() const {
  const std::scoped_lock lock{probe_mutex_};
  std::string why;
  for (const ProbeResult& result : probe_) {
    if (result.what.starts_with("monitor")) {
      why += (why.empty() ? "" : "; ") + result.detail;
    }
  }
  return why;
}

AccessReport QemuDriver::access() const {
  AccessReport report;
  report.map = map_source_;
  report.writes = describe_writes();
  const auto memory = memory_.load();
  report.ram = memory != nullptr ? memory->host().describe() : "none: the VM has ended";
  if (monitor_ != nullptr) {
    report.registers = "read: HMP info registers; set: QEMU's gdbstub, switched on for it";
    report.run_control = fmt::format("QMP stop and cont at {}", monitor_->path());
  } else {
    const std::string why = why_no_monitor();
    report.registers = "none: " + why;
    report.run_control = "none: " + why;
  }
  return report;
}

std::vector<ProbeResult> QemuDriver::probe() const {
  std::vector<ProbeResult> results;
  {
    const std::scoped_lock lock{probe_mutex_};
    results = probe_;
  }
  if (const auto memory = memory_.load()) {
    for (const HostStretch& stretch : memory->host().stretches()) {
      results.push_back({fmt::format("memory at {:#x}-{:#x} of process {}", stretch.range.begin,
                                     stretch.range.end, qemu_.process->pid()),
                         stretch.usable, stretch.detail});
    }
  }
  return results;
}

void QemuDriver::set_listener(VmListener* listener) {
  const std::scoped_lock lock{listener_mutex_};
  listener_ = listener;
}

void QemuDriver::emit(VmEvent event) {
  const std::scoped_lock lock{listener_mutex_};
  if (listener_ != nullptr) {
    listener_->on_vm_event(event);
  }
}

void QemuDriver::on_monitor_event(const QmpEvent& event) {
  if (!attached_) {
    return; // what came before is in the first layout
  }
  if (event.name == "STOP") {
    emit(VmEvent::paused);
  } else if (event.name == "RESUME") {
    emit(VmEvent::resumed);
  } else if (event.name == "RESET" || event.name == Monitor::kConnectionLost) {
    // After a lost connection anything may have happened.
    emit(event.name == "RESET" ? VmEvent::reset : VmEvent::state_unclear);
    if (!flat_view_) {
      refresh_later();
    }
  }
}

Result<void> QemuDriver::watch_end() {
  auto watch = context_.watcher.watch_once(qemu_.process->pidfd(), [this] {
    memory_.store(nullptr); // a mapping would keep the dead guest's memory in use
    emit(VmEvent::gone);
  });
  if (!watch) {
    return tl::unexpected{watch.error()};
  }
  end_watch_ = std::move(*watch);
  return {};
}

} // namespace vmemfs::qemu
