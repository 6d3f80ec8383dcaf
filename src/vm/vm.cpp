// SPDX-License-Identifier: MIT
#include "vm/vm.h"

#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

/// Max age of the guest's memory layout while it is being read.
constexpr std::chrono::milliseconds kLayoutPollInterval{10};
std::int64_t monotonic_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

tl::unexpected<Error> writes_are_off() {
  return fail(ErrorKind::read_only, "vm",
              "writes are off; `echo write on > control` or the option --writable lets them through");
}

} // namespace

Vm::Vm(VmId id, std::string name, std::unique_ptr<Driver> driver, VmServices services, VmOptions options)
    : id_{id}, name_{std::move(name)}, rights_{options.rights}, driver_{std::move(driver)},
      services_{std::move(services)}, attachment_{*driver_},
      jobs_{services_.jobs, services_.prefetch_jobs, services_.slow_prefetch_jobs},
      coherence_{[this] { services_.changed(id_, gone()); },
                 [this] {
                   cache_.drop_pages();
                   prefetcher_.drop();
                 },
                 [this] { services_.drop_outer_caches(id_); }},
      cache_{*driver_, coherence_, services_.cache_budget, options.cache_ttl}, view_{*driver_, bad_pages_},
      prefetcher_{attachment_, view_, cache_, jobs_},
      run_state_{*driver_,
                 coherence_,
                 services_.guard,
                 id_,
                 name_,
                 [this](RunStateTracker::Clock::duration delay, void (RunStateTracker::*what)()) {
                   call_later(delay, what);
                 },
                 [this](EventKind kind, std::string detail) { report(kind, std::move(detail)); }},
      writable_{options.writable} {
  if (driver_->frozen()) {
    static_cast<void>(coherence_.try_mark_stable(coherence_.epoch().load()));
  }
}

std::shared_ptr<Vm> Vm::create(VmId id, std::string name, std::unique_ptr<Driver> driver, VmServices services,
                               VmOptions options) {
  std::shared_ptr<Vm> vm{new Vm{id, std::move(name), std::move(driver), std::move(services), options}};
  vm->jobs_.set_owner(vm);
  vm->driver_->set_listener(vm.get());
  vm->run_state_.poll_soon();
  return vm;
}

Vm::~Vm() { driver_->set_listener(nullptr); }

void Vm::call_later(RunStateTracker::Clock::duration delay, void (RunStateTracker::*what)()) {
  jobs_.post_after(delay, [this, what] { (run_state_.*what)(); });
}

// ---- memory

tl::expected<std::size_t, ErrorKind> Vm::read(std::uint64_t offset, std::size_t size, HolePolicy policy,
                                              ReadScratch& scratch, ReadAhead* read_ahead) {
  if (attachment_.detached()) {
    return tl::unexpected{ErrorKind::vm_gone};
  }
  const std::int64_t now = monotonic_ns();
  if (now >= next_layout_poll_ns_.load(std::memory_order_relaxed)) {
    poll_layout();
  }
  if (read_ahead != nullptr) {
    read_ahead->note(offset, size);
  }
  if (cache_.in_use()) {
    CacheUse use = cache_.use(now);
    if (read_ahead != nullptr) {
      prefetcher_.add_to(use, *read_ahead, offset + size);
    }
    return view_.read(offset, size, policy, scratch, use);
  }
  if (prefetcher_.helps_live(read_ahead, size)) {
    return prefetcher_.read_live({read_ahead, offset, size, policy, 0}, scratch);
  }
  return view_.read(offset, size, policy, scratch);
}

void Vm::poll_layout() {
  constexpr std::int64_t kEvery = kLayoutPollInterval / std::chrono::nanoseconds{1};
  next_layout_poll_ns_.store(monotonic_ns() + kEvery, std::memory_order_relaxed);
  driver_->poll_layout(false);
}

Result<void> Vm::check_writable(GpaRange range) const {
  const auto map = driver_->memory_map();
  for (Gpa here = range.begin; here < range.end;) {
    const auto stretch = map->at(here);
    if (stretch.region == nullptr || here >= map->ram_end()) {
      return fail(ErrorKind::hole, "vm",
                  fmt::format("no memory at {:#x}, so nothing was written", here.value()));
    }
    if (!stretch.region->writable) {
      return fail(ErrorKind::read_only, "vm",
                  fmt::format("the {} at {:#x} cannot be written, so nothing was written",
                              to_string(stretch.region->kind), here.value()));
    }
    here = stretch.range.end;
  }
  return {};
}

Result<std::size_t> Vm::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  auto written = counters_.writes.counted(try_write(offset, bytes));
  counters_.written_bytes.add(written.value_or(0));
  return written;
}

Result<std::size_t> Vm::try_write(std::uint64_t offset, std::span<const std::byte> bytes) {
  const auto lock = run_state_.lock_operations();
  if (gone()) {
    return gone_error();
  }
  if (!writable_) {
    return noted<std::size_t>(writes_are_off());
  }
  MemoryWriter* const writer = driver_->memory_writer();
  if (writer == nullptr) {
    return noted<std::size_t>(
        fail(ErrorKind::unsupported, driver_->identity().driver, "this driver cannot write guest memory"));
  }
  if (bytes.empty()) {
    return 0;
  }
  poll_layout();
  if (offset >= kGpaLimit || bytes.size() > kGpaLimit - offset) {
    return noted<std::size_t>(fail(ErrorKind::hole, "vm", "there is no memory that high"));
  }
  const Gpa gpa{offset};
  if (auto checked = check_writable({gpa, gpa + bytes.size()}); !checked) {
    return noted<std::size_t>(tl::unexpected{std::move(checked.error())});
  }
  auto outcome = writer->write(gpa, bytes);
  // Regardless of the result, bytes read before must not be served any more.
  run_state_.note_write();
  if (outcome.failure) { // it may still take effect later, such as when a monitor answered too late
    coherence_.may_change();
    run_state_.poll_soon();
  } else {
    coherence_.changed();
  }
  if (outcome.done > 0) {
    log::info("{}: wrote {} bytes at {:#x}", name_, outcome.done, offset);
  }
  if (outcome.failure) {
    auto failed = noted<std::size_t>(tl::unexpected{std::move(*outcome.failure)});
    return outcome.done > 0 ? Result<std::size_t>{outcome.done} : failed;
  }
  return outcome.done;
}

Result<void> Vm::set_writable(bool on) {
  const auto lock = run_state_.lock_operations(); // once writes are off, none is in progress
  if (on && driver_->memory_writer() == nullptr && driver_->register_writer() == nullptr) {
    return noted<void>(fail(ErrorKind::unsupported, driver_->identity().driver,
                            "this driver can write neither memory nor registers"));
  }
  if (writable_.exchange(on) != on) {
    log::info("{}: writes are {}", name_, on ? "on" : "off");
  }
  return {};
}

// ---- events and pauses

/// Only invalidation is done at once. Who paused the VM, and whether pages may be kept, is decided by a
/// query, because an event may be stale when it arrives.
void Vm::on_vm_event(VmEvent event) {
  switch (event) {
  case VmEvent::layout_changed:
    coherence_.changed();
    report(EventKind::layout, "the memory map changed");
    break;
  case VmEvent::paused: run_state_.poll_soon(); break;
  case VmEvent::reset: report(EventKind::reset, "the guest was reset"); [[fallthrough]];
  case VmEvent::resumed:
  case VmEvent::state_unclear:
    coherence_.may_change();
    run_state_.poll_soon();
    break;
  case VmEvent::gone: coherence_.may_change(); break;
  }
}

Result<RunStatus> Vm::run_status() {
  if (gone()) {
    return gone_error();
  }
  return run_state_.status();
}

/// Detaching may have come between the check of gone() and the pause; then nobody else would end the pause.
template <typename T> Result<T> Vm::unless_detached(Result<T> paused) {
  if (gone()) {
    run_state_.release();
    return gone_error();
  }
  return noted(std::move(paused));
}

Result<Paused> Vm::pause(PauseKind kind, std::chrono::milliseconds for_how_long) {
  if (gone()) {
    return gone_error();
  }
  return unless_detached(run_state_.pause(kind, for_how_long));
}

Result<HoldId> Vm::hold() {
  if (gone()) {
    return gone_error();
  }
  return unless_detached(run_state_.hold());
}

Result<void> Vm::resume(std::optional<HoldId> own_hold) {
  if (gone()) {
    return gone_error();
  }
  return noted(run_state_.resume(own_hold));
}

bool Vm::in_use() const {
  const RunStateTracker::Info info = run_state_.info();
  return run_state_.has_viewers() || info.by == PausedBy::us || info.holds > 0;
}

void Vm::detach() {
  attachment_.detach();
  run_state_.release();
  coherence_.changed(); // notifies the registry
}

// ---- the cache

Result<void> Vm::change_cache(const std::function<void(CacheSettings&)>& change) {
  return noted(cache_.change(change));
}

// ---- the rest

Result<void> Vm::refresh() {
  const auto lock = run_state_.lock_operations();
  if (gone()) {
    return gone_error();
  }
  auto refreshed = driver_->refresh();
  if (refreshed) {
    coherence_.changed();
  }
  return noted(std::move(refreshed));
}

const RegisterLayout* Vm::register_layout() const {
  if (RegisterReader* const reader = driver_->register_reader()) {
    return &reader->register_layout();
  }
  RegisterWriter* const writer = driver_->register_writer();
  return writer != nullptr ? &writer->register_layout() : nullptr;
}

Result<std::vector<RegisterSet>> Vm::read_registers(std::span<const VcpuId> vcpus) {
  return counters_.register_reads.counted(try_read_registers(vcpus));
}

Result<std::vector<RegisterSet>> Vm::try_read_registers(std::span<const VcpuId> vcpus) {
  RegisterReader* const reader = driver_->register_reader();
  if (gone()) {
    return gone_error();
  }
  if (reader == nullptr) {
    return noted<std::vector<RegisterSet>>(
        fail(ErrorKind::unsupported, driver_->identity().driver,
             fmt::format("cannot read registers: {}", driver_->access().registers)));
  }
  return noted(reader->read_registers(vcpus));
}

Result<void> Vm::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  return counters_.register_writes.counted(try_write_registers(vcpu, values));
}

Result<void> Vm::try_write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  const auto lock = run_state_.lock_operations();
  RegisterWriter* const writer = driver_->register_writer();
  if (gone()) {
    return gone_error();
  }
  if (!writable_) {
    return noted<void>(writes_are_off());
  }
  if (writer == nullptr) {
    return noted<void>(fail(ErrorKind::unsupported, driver_->identity().driver,
                            fmt::format("cannot set registers: {}", driver_->access().registers)));
  }
  auto written = writer->write_registers(vcpu, values);
  if (written) {
    for (const RegisterValue& value : values) {
      log::info("{}: vcpu {}: {} set to {:#x}", name_, vcpu.value(),
                writer->register_layout().name(value.reg), value.value);
    }
  }
  return noted(std::move(written));
}

template <typename T> Result<T> Vm::noted(Result<T> result) {
  if (!result) {
    log::warning("{}: {}", name_, result.error().message());
    {
      const std::scoped_lock lock{error_mutex_};
      last_error_ = result.error().message();
    }
    report(EventKind::error, result.error().message());
  }
  return result;
}

void Vm::report(EventKind kind, std::string detail) const {
  if (services_.events != nullptr) {
    services_.events->append(kind, name_, std::move(detail));
  }
}

std::string Vm::last_error() const {
  const std::scoped_lock lock{error_mutex_};
  return last_error_;
}

} // namespace vmemfs
