// SPDX-License-Identifier: MIT
#include "vm/vm.h"

#include "util/log.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <new>
#include <utility>

namespace vmemfs {
namespace {

/// Max age of the guest's memory layout while it is being read.
constexpr std::chrono::milliseconds kLayoutPollInterval{10};
/// Approximate cost of a FUSE reply: a page that costs less is not worth caching.
constexpr std::chrono::microseconds kWorthCaching{20};
/// A reader should not wait for a call of this duration that fetches more than was requested.
constexpr std::chrono::milliseconds kLongCall{1};
/// Size of a background prefetch, and the max number of pending ones.
constexpr std::size_t kPrefetchPiece = std::size_t{1} << 20U;
constexpr unsigned kMaxPendingPrefetches = 12;
/// A batch is cheap if this many pages cost as much as the call.
constexpr int kCheapBatch = 16;

std::int64_t monotonic_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

tl::unexpected<Error> writes_are_off() {
  return fail(ErrorKind::read_only, "vm",
              "writes are off; `echo write on > control` or the option --writable lets them through");
}

tl::unexpected<Error> gone_error() { return fail(ErrorKind::vm_gone, "vm", "the VM has ended"); }

/// Max number of bytes to prefetch if they cost little more than the call itself.
std::size_t cheap_batch(const ReadCost& cost) {
  if (cost.call.count() == 0 || cost.page * kCheapBatch > cost.call) {
    return 0;
  }
  const auto pages = cost.page.count() > 0 ? cost.call / cost.page : std::numeric_limits<std::int64_t>::max();
  return std::min(static_cast<std::size_t>(pages), ReadAhead::kMaxWindow / kPageSize) * kPageSize;
}

} // namespace

Vm::Vm(VmId id, std::string name, std::unique_ptr<Driver> driver, VmServices services, VmOptions options)
    : id_{id}, name_{std::move(name)}, rights_{options.rights}, driver_{std::move(driver)},
      services_{std::move(services)},
      coherence_{[this] { services_.changed(id_, gone()); }, [this] { drop_caches(); }},
      cache_share_{services_.cache_budget, cache_}, view_{*driver_, bad_pages_},
      prefetch_{[this] { post_prefetch(); },
                [this](const SequentialPrefetch::Request& request, ReadScratch& scratch) {
                  return fetch_next(request, scratch);
                }},
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
  cache_settings_.ttl = options.cache_ttl;
  update_cache_use();
  if (driver_->frozen()) {
    static_cast<void>(coherence_.try_mark_stable(coherence_.epoch().load()));
  }
}

std::shared_ptr<Vm> Vm::create(VmId id, std::string name, std::unique_ptr<Driver> driver, VmServices services,
                               VmOptions options) {
  std::shared_ptr<Vm> vm{new Vm{id, std::move(name), std::move(driver), std::move(services), options}};
  vm->driver_->set_listener(vm.get());
  vm->run_state_.poll_soon();
  return vm;
}

Vm::~Vm() { driver_->set_listener(nullptr); }

void Vm::call_later(RunStateTracker::Clock::duration delay, void (RunStateTracker::*what)()) {
  services_.jobs.post_after(delay, [weak = weak_from_this(), what] {
    if (const auto vm = weak.lock()) {
      (vm->run_state_.*what)();
    }
  });
}

// ---- memory

tl::expected<std::size_t, ErrorKind> Vm::read(std::uint64_t offset, std::size_t size, HolePolicy policy,
                                              ReadScratch& scratch, ReadAhead* read_ahead) {
  if (detached_.load(std::memory_order_relaxed)) {
    return tl::unexpected{ErrorKind::vm_gone};
  }
  const std::int64_t now = monotonic_ns();
  if (now >= next_layout_poll_ns_.load(std::memory_order_relaxed)) {
    poll_layout();
  }
  if (read_ahead != nullptr) {
    read_ahead->note(offset, size);
  }
  if (!cache_in_use_.load(std::memory_order_relaxed)) {
    return read_live({read_ahead, offset, size, policy, 0}, scratch);
  }
  const CacheUse use = cache_use(now, read_ahead);
  if (read_ahead != nullptr && use.cache != nullptr &&
      max_background_prefetch_.load(std::memory_order_relaxed) != 0) {
    prefetch_in_background(*read_ahead, offset + size, use.request.epoch);
  }
  return view_.read(offset, size, policy, scratch, use);
}

/// Starts the prefetch calls before the reader waits for its own.
void Vm::prefetch_in_background(ReadAhead& read_ahead, std::uint64_t end, std::uint64_t epoch) {
  if (pending_prefetches_.load(std::memory_order_relaxed) >= kMaxPendingPrefetches) {
    return;
  }
  const auto [from, bytes] =
      read_ahead.next_background_range(end, max_background_prefetch_.load(std::memory_order_relaxed));
  if (bytes == 0) {
    return;
  }
  const std::uint64_t to = std::min(from + bytes, view_.size());
  for (std::uint64_t at = from; at < to; at += kPrefetchPiece) {
    ++pending_prefetches_;
    const GpaRange piece{Gpa{at}, Gpa{std::min<std::uint64_t>(at + kPrefetchPiece, to)}};
    services_.slow_prefetch_jobs.post([weak = weak_from_this(), piece, epoch] {
      if (const auto vm = weak.lock()) {
        vm->fetch_into_cache(piece, epoch);
        --vm->pending_prefetches_;
      }
    });
  }
}

void Vm::fetch_into_cache(GpaRange range, std::uint64_t epoch) {
  const CacheUse use = cache_use(monotonic_ns(), nullptr);
  if (use.cache == nullptr || use.request.epoch != epoch || !cache_in_use_ || gone()) {
    return;
  }
  try {
    ReadScratch scratch;
    view_.prefetch(range, scratch, use);
  } catch (const std::bad_alloc&) { // reported to the reader that requests the pages
    log::debug("{}: cannot prefetch: out of memory", name_);
  }
}

/// Reads without the cache; but while memory is stable, each large sequential read prefetches the next one.
tl::expected<std::size_t, ErrorKind> Vm::read_live(const SequentialPrefetch::Request& request,
                                                   ReadScratch& scratch) {
  const bool is_sequential = request.reader != nullptr && request.size >= SequentialPrefetch::kMinSize &&
                             prefetches_sequentially_.load(std::memory_order_relaxed) &&
                             request.reader->is_sequential();
  if (!is_sequential || !coherence_.epoch().load().stable) {
    return view_.read(request.offset, request.size, request.policy, scratch);
  }
  driver_->poll_run_state();
  const Epoch::Value epoch = coherence_.epoch().load();
  SequentialPrefetch::Request now = request;
  now.epoch = epoch.number;
  const bool fetched = prefetch_.take(now, scratch);
  auto bytes = fetched ? request.size : view_.read(request.offset, request.size, request.policy, scratch);
  if (fetched && gone()) {
    return tl::unexpected{ErrorKind::vm_gone};
  }
  if (bytes == request.size && epoch.stable && scratch.is_copy()) {
    now.offset += now.size;
    prefetch_.begin(now);
  }
  return bytes;
}

void Vm::post_prefetch() {
  services_.prefetch_jobs.post([weak = weak_from_this()] {
    if (const auto vm = weak.lock()) {
      vm->prefetch_.run();
    }
  });
}

bool Vm::fetch_next(const SequentialPrefetch::Request& request, ReadScratch& scratch) {
  const auto bytes = view_.read(request.offset, request.size, request.policy, scratch);
  return bytes == request.size && scratch.is_copy();
}

/// The pages that a read that begins now may take from the cache, and may add.
CacheUse Vm::cache_use(std::int64_t now_ns, ReadAhead* read_ahead) {
  driver_->poll_run_state();
  const Epoch::Value epoch = coherence_.epoch().load();
  std::int64_t oldest = std::numeric_limits<std::int64_t>::min();
  if (!epoch.stable) {
    const std::int64_t ttl = cache_ttl_ns_.load(std::memory_order_relaxed);
    if (ttl == 0) {
      return {};
    }
    oldest = now_ns - ttl;
  }
  return {&cache_, {epoch.number, oldest, now_ns}, &coherence_.epoch(), read_ahead, max_prefetch_};
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
  detached_ = true;
  run_state_.release();
  coherence_.changed(); // notifies the registry
}

// ---- the cache

Result<void> Vm::change_cache(const std::function<void(CacheSettings&)>& change) {
  const std::scoped_lock one{cache_change_mutex_};
  CacheSettings settings = cache_settings();
  change(settings);
  if (auto sized = cache_share_.set_fixed_size(settings.size); !sized) {
    return noted(std::move(sized));
  }
  {
    const std::scoped_lock lock{settings_mutex_};
    cache_settings_ = settings;
  }
  update_cache_use();
  return {};
}

CacheSettings Vm::cache_settings() const {
  const std::scoped_lock lock{settings_mutex_};
  return cache_settings_;
}

void Vm::update_cache_use() {
  const CacheSettings settings = cache_settings();
  const ReadCost cost = driver_->read_cost();
  const bool worth_it = settings.mode == CacheMode::on ||
                        (settings.mode == CacheMode::automatic && cost.call + cost.page >= kWorthCaching);
  cache_share_.set_active(worth_it);
  // Relative to the cache size, so that prefetching never evicts pages in use.
  constexpr std::size_t kPrefetchShare = 4;
  const std::size_t share = cache_share_.limit() / kPrefetchShare;
  const std::size_t batch = cheap_batch(cost);
  const bool in_background = cost.call >= kLongCall;
  max_prefetch_ = in_background ? 0 : std::min(batch, share);
  max_background_prefetch_ =
      in_background && batch != 0 ? std::min(ReadAhead::kMaxBackgroundWindow, share) : 0;
  cache_ttl_ns_ = settings.ttl / std::chrono::nanoseconds{1};
  cache_in_use_ = worth_it;
  prefetches_sequentially_ = settings.mode == CacheMode::automatic;
}

void Vm::drop_caches() {
  cache_.clear();
  prefetch_.drop();
  services_.drop_outer_caches(id_);
}

void Vm::flush() {
  coherence_.changed();
  cache_.clear();
  prefetch_.drop();
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
      const std::scoped_lock lock{settings_mutex_};
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
  const std::scoped_lock lock{settings_mutex_};
  return last_error_;
}

} // namespace vmemfs
