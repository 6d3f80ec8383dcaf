#include "vm/vm.h"

#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

/// How old a look at the guest's memory layout may be while it is being read.
constexpr std::chrono::milliseconds kLayoutLookEvery{10};

std::int64_t monotonic_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

std::int64_t wall_ns() {
  return std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

} // namespace

std::string_view to_string(PausedBy who) {
  switch (who) {
  case PausedBy::nobody: return "nobody";
  case PausedBy::us: return "vmemfs";
  case PausedBy::somebody_else: return "other";
  }
  return "unknown";
}

Vm::Vm(VmId id, std::string name, std::unique_ptr<Driver> driver, std::function<void(Vm&)> changed)
    : id_{id}, name_{std::move(name)}, driver_{std::move(driver)}, changed_{std::move(changed)},
      view_{*driver_, bad_pages_} {
  driver_->set_listener(this);
}

Vm::~Vm() { driver_->set_listener(nullptr); }

tl::expected<std::size_t, ErrorKind> Vm::read(std::uint64_t offset, std::size_t size, HolePolicy policy,
                                              ReadScratch& scratch) {
  if (monotonic_ns() >= next_layout_look_ns_.load(std::memory_order_relaxed)) {
    follow_layout();
  }
  return view_.read(offset, size, policy, scratch);
}

void Vm::follow_layout() {
  constexpr std::int64_t kEvery = kLayoutLookEvery / std::chrono::nanoseconds{1};
  next_layout_look_ns_.store(monotonic_ns() + kEvery, std::memory_order_relaxed);
  driver_->follow_layout(false);
}

void Vm::new_epoch() {
  epoch_.fetch_add(1);
  changed_(*this);
}

void Vm::note_state(bool running, PausedBy by) {
  if (running) {
    paused_by_ = PausedBy::nobody;
    stands_since_ns_ = 0;
    return;
  }
  // A pause that was known keeps its owner and its time.
  std::int64_t runs = 0;
  if (stands_since_ns_.compare_exchange_strong(runs, wall_ns()) && paused_by_ != PausedBy::us) {
    paused_by_ = by;
  }
}

void Vm::on_vm_event(VmEvent event) {
  switch (event) {
  case VmEvent::paused: note_state(false, own_command_ ? PausedBy::us : PausedBy::somebody_else); break;
  case VmEvent::resumed: note_state(true, PausedBy::nobody); break;
  case VmEvent::reset:
  case VmEvent::layout_changed:
  case VmEvent::gone: break;
  }
  new_epoch();
}

template <typename T> Result<T> Vm::noted(Result<T> result) {
  if (!result) {
    log::warning("{}: {}", name_, result.error().message());
    const std::scoped_lock lock{error_mutex_};
    last_error_ = result.error().message();
  }
  return result;
}

Result<RunControl*> Vm::run_control_or_why_not() {
  if (driver_->gone()) {
    return fail(ErrorKind::vm_gone, "vm", "the VM has ended");
  }
  RunControl* const control = driver_->run_control();
  if (control == nullptr) {
    return fail(ErrorKind::unsupported, driver_->identity().driver,
                fmt::format("this VM can't be paused or resumed: {}", driver_->access().run_control));
  }
  return control;
}

Result<RunStatus> Vm::run_status() {
  const std::scoped_lock lock{control_};
  const auto control = run_control_or_why_not();
  if (!control) {
    return tl::unexpected{control.error()};
  }
  auto status = (*control)->run_status();
  if (status) {
    note_state(status->running, PausedBy::somebody_else);
  }
  return status;
}

Result<void> Vm::pause() {
  const std::scoped_lock lock{control_};
  const auto control = run_control_or_why_not();
  if (!control) {
    return noted<void>(tl::unexpected{control.error()});
  }
  const auto before = (*control)->run_status();
  if (!before) {
    return noted<void>(tl::unexpected{before.error()});
  }
  if (!before->running) {
    note_state(false, PausedBy::somebody_else);
    return {};
  }
  note_state(true, PausedBy::nobody);
  own_command_ = true;
  auto paused = (*control)->pause();
  own_command_ = false;
  if (paused) {
    note_state(false, PausedBy::us);
    new_epoch();
    log::info("{}: paused", name_);
  } else if (paused.error().kind == ErrorKind::timed_out || paused.error().kind == ErrorKind::source_failed) {
    paused_by_ = PausedBy::us; // it may still come to a stand, and then it was us
  }
  return noted(std::move(paused));
}

Result<void> Vm::resume() {
  const std::scoped_lock lock{control_};
  const auto control = run_control_or_why_not();
  if (!control) {
    return noted<void>(tl::unexpected{control.error()});
  }
  new_epoch(); // before the guest runs, so that nothing it changes can be hidden
  auto resumed = (*control)->resume();
  if (resumed) {
    note_state(true, PausedBy::nobody);
    new_epoch();
    log::info("{}: resumed", name_);
  }
  return noted(std::move(resumed));
}

void Vm::let_go() {
  if (paused_by_ == PausedBy::us && !driver_->gone()) {
    log::info("{}: was paused by us, so it is resumed", name_);
    static_cast<void>(resume()); // a failure is logged there
  }
}

Result<void> Vm::refresh() {
  const std::scoped_lock lock{control_};
  auto refreshed = driver_->refresh();
  if (refreshed) {
    new_epoch();
  }
  return noted(std::move(refreshed));
}

void Vm::flush() { new_epoch(); }

std::chrono::system_clock::time_point Vm::last_change() const {
  const std::int64_t since = stands_since_ns_;
  return std::chrono::system_clock::time_point{
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::nanoseconds{since != 0 ? since : wall_ns()})};
}

Result<RegisterSet> Vm::read_registers(VcpuId vcpu) {
  RegisterReader* const reader = driver_->register_reader();
  if (driver_->gone()) {
    return fail(ErrorKind::vm_gone, "vm", "the VM has ended");
  }
  if (reader == nullptr) {
    return noted<RegisterSet>(fail(ErrorKind::unsupported, driver_->identity().driver,
                                   fmt::format("registers can't be read: {}", driver_->access().registers)));
  }
  return noted(reader->read_registers(vcpu));
}

Result<void> Vm::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  const std::scoped_lock lock{control_};
  RegisterWriter* const writer = driver_->register_writer();
  if (driver_->gone()) {
    return fail(ErrorKind::vm_gone, "vm", "the VM has ended");
  }
  if (writer == nullptr) {
    return noted<void>(fail(ErrorKind::unsupported, driver_->identity().driver,
                            fmt::format("registers can't be set: {}", driver_->access().registers)));
  }
  own_command_ = true;
  auto written = writer->write_registers(vcpu, values);
  own_command_ = false;
  if (written) {
    for (const RegisterValue& value : values) {
      log::info("{}: vcpu {}: {} set to {:#x}", name_, vcpu.value(), to_string(value.reg), value.value);
    }
  }
  return noted(std::move(written));
}

std::string Vm::last_error() const {
  const std::scoped_lock lock{error_mutex_};
  return last_error_;
}

} // namespace vmemfs
