// SPDX-License-Identifier: MIT
#include "drivers/kvm/vcpus/vcpu_control.h"

#include "arch/x86_64/kvm_registers.h"
#include "arch/x86_64/registers.h"
#include "drivers/kvm/api/resume_ticket.h"
#include "drivers/kvm/vcpus/requested_pages.h"
#include "drivers/kvm/vcpus/thread_call.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <iterator>
#include <thread>
#include <utility>

namespace vmemfs::kvm {
namespace {

constexpr std::string_view kOrigin = "kvm";
using Clock = std::chrono::steady_clock;

/// Of a caller, until others have ended their stops.
constexpr std::chrono::seconds kMaxWait{8};
/// Of a VM that is starting up.
constexpr int kPauseTries = 5;
/// A vCPU that runs takes in changed registers when it enters the guest again, at once.
constexpr std::chrono::milliseconds kTakenInLimit{500};
constexpr std::chrono::microseconds kBetweenChecks{200};

tl::unexpected<Error> not_in_guest(VcpuId vcpu) {
  return fail(ErrorKind::busy, kOrigin,
              fmt::format("cannot read the registers of vCPU {}: it was not in the guest each time it was "
                          "tried; the program of the VM has paused it, or it has not begun to run",
                          vcpu.value()));
}

tl::unexpected<Error> within_instruction(VcpuId vcpu) {
  return fail(
      ErrorKind::busy, kOrigin,
      fmt::format("cannot set registers of vCPU {}: it is in the middle of an instruction, such as an "
                  "access to a device; resume the VM and try again",
                  vcpu.value()));
}

Result<std::vector<RegisterSet>> registers_of(std::span<const VcpuId> vcpus,
                                              const std::vector<StoppedVcpu>& stopped) {
  std::vector<RegisterSet> sets;
  sets.reserve(stopped.size());
  for (std::size_t i = 0; i < stopped.size(); ++i) {
    if (!stopped[i].registers) {
      return not_in_guest(vcpus[i]);
    }
    sets.push_back(x86_64::from_kvm(stopped[i].registers->general, stopped[i].registers->system));
  }
  return sets;
}

/// The general registers with the values set. unsupported: one of the others is to be changed; KVM_RUN fails
/// with values of these that KVM does not like, which would end the VM.
Result<kvm_regs> with_values(const StoredRegisters& now, std::span<const RegisterValue> values) {
  const RegisterSet before = x86_64::from_kvm(now.general, now.system);
  kvm_regs general = now.general;
  for (const RegisterValue& value : values) {
    if (!x86_64::set_general(general, value.reg, value.value) && before.get(value.reg) != value.value) {
      return fail(
          ErrorKind::unsupported, kOrigin,
          fmt::format("cannot set {}: only the general registers, rip and rflags of a VM of KVM can be "
                      "set from outside without danger for it",
                      x86_64::register_layout().name(value.reg)));
    }
  }
  return general;
}

const RunStatus kRunning{.running = true, .detail = "running"};

/// Devices of the VM's program and of the kernel go on writing to its memory.
RunStatus paused(std::string detail, bool may_start) {
  return {.running = false,
          .detail = std::move(detail),
          .by_command = true,
          .may_start = may_start,
          .memory_changes = true};
}

bool has_thread(const VcpuThread& vcpu) { return vcpu.thread != 0; }

} // namespace

VcpuControl::VcpuControl(std::shared_ptr<const ProcessSpace> space, std::optional<VmmApi> api,
                         std::function<void()> find_again)
    : space_{std::move(space)}, api_{std::move(api)}, find_again_{std::move(find_again)} {}

void VcpuControl::set_vcpus(std::vector<VcpuThread> vcpus) {
  const MutexLock lock{vcpus_mutex_};
  vcpus_ = std::move(vcpus);
}

VcpuControl::Vcpus VcpuControl::vcpus() const {
  const MutexLock lock{vcpus_mutex_};
  return vcpus_;
}

VcpuControl::Vcpus VcpuControl::started_vcpus() const {
  Vcpus started;
  std::ranges::copy_if(vcpus(), std::back_inserter(started), has_thread);
  return started;
}

const RegisterLayout& VcpuControl::register_layout() const { return x86_64::register_layout(); }

bool VcpuControl::usually_has(RegisterIndex reg) const { return x86_64::is_of_kvm(reg); }

Result<TimedLock::Owner> VcpuControl::lock_operations() {
  TimedLock::Owner lock{operations_, Clock::now() + kMaxWait};
  if (!lock.owns_lock()) {
    return fail(ErrorKind::busy, kOrigin, "other operations on the vCPUs take too long; try again");
  }
  return lock;
}

/// nullptr: none, or it has ended without us: a vCPU's thread was killed, or another client of the API has
/// resumed the VM.
VcpuControl::Hold* VcpuControl::current_hold() {
  const bool ended =
      hold_ != nullptr &&
      (hold_->thread != nullptr ? !hold_->thread->holds() : api_->status().value_or(kRunning).running);
  if (ended) {
    hold_.reset();
  }
  return hold_.get();
}

StopThread::Request VcpuControl::request(Vcpus vcpus) const {
  return {.space = space_, .vcpus = std::move(vcpus), .threads = threads_};
}

/// Those vCPUs, if their registers can be read.
Result<VcpuControl::Vcpus> VcpuControl::threads_of(std::span<const VcpuId> wanted) const {
  const Vcpus all = vcpus();
  Vcpus found;
  for (const VcpuId id : wanted) {
    const auto vcpu = std::ranges::find(all, id, &VcpuThread::vcpu);
    if (vcpu == all.end()) {
      return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no vCPU {}", id.value()));
    }
    if (!has_thread(*vcpu)) {
      return fail(ErrorKind::busy, kOrigin, fmt::format("vCPU {} has not begun to run", id.value()));
    }
    if (!vcpu->run_page) {
      return fail(ErrorKind::unsupported, kOrigin,
                  fmt::format("cannot tell which registers are those of vCPU {}: process {} runs several VMs",
                              id.value(), space_->pid()));
    }
    found.push_back(*vcpu);
  }
  return found;
}

/// Stops them for a moment.
Result<std::vector<StoppedVcpu>> VcpuControl::stop_once(Vcpus vcpus) {
  auto stopped = std::make_shared<std::vector<StoppedVcpu>>();
  StopThread::Request once = request(std::move(vcpus));
  once.use = [stopped](const VcpuStop& stop) {
    *stopped = stop.vcpus();
    return Result<void>{};
  };
  return StopThread::run(std::move(once)).map([&](const auto&) { return std::move(*stopped); });
}

Result<std::vector<StoppedVcpu>> VcpuControl::stopped_vcpus(std::span<const VcpuId> wanted) {
  auto vcpus = threads_of(wanted);
  if (!vcpus) {
    return tl::unexpected{std::move(vcpus.error())};
  }
  const Hold* const hold = current_hold();
  if (hold == nullptr) {
    return stop_once(std::move(*vcpus));
  }
  std::vector<StoppedVcpu> stopped;
  for (const VcpuThread& vcpu : *vcpus) {
    const auto held = std::ranges::find(hold->vcpus, vcpu.vcpu, &VcpuThread::vcpu);
    if (held == hold->vcpus.end()) {
      return fail(ErrorKind::busy, kOrigin,
                  fmt::format("vCPU {} was plugged in after the pause", vcpu.vcpu.value()));
    }
    stopped.push_back(hold->stopped[static_cast<std::size_t>(held - hold->vcpus.begin())]);
  }
  return stopped;
}

Result<std::vector<RegisterSet>> VcpuControl::read_registers(std::span<const VcpuId> wanted) {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operations_.assert_held(); // by `lock`
  auto stopped = stopped_vcpus(wanted);
  if (!stopped && stopped.error().kind == ErrorKind::busy) { // it begins to run, or another thread runs it
    find_again_();
    stopped = stopped_vcpus(wanted);
  }
  return stopped.and_then([&](const auto& found) { return registers_of(wanted, found); });
}

Result<void> VcpuControl::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operations_.assert_held(); // by `lock`
  if (Hold* const hold = current_hold(); hold != nullptr) {
    return write_held(*hold, vcpu, values);
  }
  auto written = write_running(vcpu, values);
  if (!written && written.error().kind == ErrorKind::busy) { // as for a read
    find_again_();
    written = write_running(vcpu, values);
  }
  return written;
}

/// They are taken in when the VM is resumed.
Result<void> VcpuControl::write_held(Hold& hold, VcpuId vcpu, std::span<const RegisterValue> values) {
  const auto held = std::ranges::find(hold.vcpus, vcpu, &VcpuThread::vcpu);
  if (held == hold.vcpus.end()) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("there is no vCPU {}", vcpu.value()));
  }
  StoppedVcpu& stopped = hold.stopped[static_cast<std::size_t>(held - hold.vcpus.begin())];
  if (!stopped.registers || !held->run_page) {
    return not_in_guest(vcpu);
  }
  if (!stopped.between_instructions) {
    return within_instruction(vcpu);
  }
  return with_values(*stopped.registers, values).and_then([&](const kvm_regs& general) {
    return RunPage{*space_, *held->run_page}.set_general(general).map(
        [&] { stopped.registers->general = general; });
  });
}

Result<void> VcpuControl::write_running(VcpuId vcpu, std::span<const RegisterValue> values) {
  auto threads = threads_of({&vcpu, 1});
  if (!threads) {
    return tl::unexpected{std::move(threads.error())};
  }
  const Hva page = *threads->front().run_page;
  StopThread::Request set = request(std::move(*threads));
  set.good = is_between_instructions;
  set.use = [space = space_, vcpu, page,
             wanted = std::vector(values.begin(), values.end())](const VcpuStop& stop) -> Result<void> {
    const StoppedVcpu& stopped = stop.vcpus().front();
    if (!stopped.registers) {
      return not_in_guest(vcpu);
    }
    if (!stopped.between_instructions) {
      return within_instruction(vcpu);
    }
    return with_values(*stopped.registers, wanted).and_then([&](const kvm_regs& general) {
      return RunPage{*space, page}.set_general(general);
    });
  };
  if (auto done = StopThread::run(std::move(set)); !done) {
    return tl::unexpected{std::move(done.error())};
  }
  for (const auto until = Clock::now() + kTakenInLimit; Clock::now() < until;) {
    const auto taken = RunPage{*space_, page}.taken_in();
    if (!taken || *taken) {
      return taken.map([](bool) {});
    }
    std::this_thread::sleep_for(kBetweenChecks);
  }
  return fail(ErrorKind::timed_out, kOrigin,
              fmt::format("vCPU {} has not entered the guest since; it gets its registers when it does",
                          vcpu.value()));
}

Result<RunStatus> VcpuControl::status() {
  if (!space_->alive()) { // first, as a pause notices a moment later that its threads were killed
    return space_->gone();
  }
  if (const Hold* const hold = current_hold(); hold != nullptr && hold->thread != nullptr) {
    return paused("paused", false);
  }
  if (api_) {
    return api_->status();
  }
  return all_outside_of_guest(space_->pid(), vcpus()) ? paused("paused by its own program", true) : kRunning;
}

Result<RunStatus> VcpuControl::run_status() {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operations_.assert_held(); // by `lock`
  return status();
}

Result<RunStatus> VcpuControl::pause() {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operations_.assert_held(); // by `lock`
  if (current_hold() != nullptr) {
    return status();
  }
  if (api_) {
    return pause_by_api(started_vcpus());
  }
  auto paused = pause_by_threads();
  for (int tries = 1; !paused && paused.error().kind == ErrorKind::busy && tries < kPauseTries; ++tries) {
    find_again_();
    paused = pause_by_threads();
  }
  return paused;
}

/// busy: a vCPU has begun to run meanwhile, or is run by another thread than before.
Result<RunStatus> VcpuControl::pause_by_threads() {
  const Vcpus started = started_vcpus();
  if (started.empty()) {
    return fail(ErrorKind::busy, kOrigin, "no vCPU has begun to run");
  }
  auto stopped = std::make_shared<std::vector<StoppedVcpu>>();
  StopThread::Request hold = request(started);
  hold.hold = true;
  hold.use = [stopped](const VcpuStop& stop) {
    *stopped = stop.vcpus();
    return Result<void>{};
  };
  auto thread = StopThread::run(std::move(hold));
  if (!thread) {
    return tl::unexpected{std::move(thread.error())};
  }
  if (!std::ranges::all_of(vcpus(), has_thread)) {
    find_again_();
    if (started_vcpus() != started) {
      return fail(ErrorKind::busy, kOrigin, "further vCPUs begin to run; try again");
    }
  }
  hold_ = std::make_unique<Hold>(Hold{started, std::move(*stopped), std::move(*thread)});
  return status();
}

/// The vCPUs leave the guest for the pause, and KVM stores their registers then.
Result<RunStatus> VcpuControl::pause_by_api(Vcpus started) {
  RequestedPages pages{*space_, started};
  if (auto requested = pages.request(); !requested) {
    return tl::unexpected{std::move(requested.error())};
  }
  if (auto paused = api_->pause(); !paused) {
    return tl::unexpected{std::move(paused.error())};
  }
  std::vector<StoppedVcpu> stopped;
  for (std::size_t i = 0; i < started.size(); ++i) {
    auto registers = pages[i] ? pages[i]->stored() : Result<std::optional<StoredRegisters>>{};
    stopped.push_back({registers.value_or(std::nullopt), false});
  }
  hold_ = std::make_unique<Hold>(Hold{std::move(started), std::move(stopped), nullptr});
  return status();
}

std::string VcpuControl::resume_ticket() const {
  return api_ ? to_text(ResumeTicket{space_->pid(), space_->process().start_time(), api_->socket()}) : "";
}

Result<RunStatus> VcpuControl::resume() {
  const auto lock = lock_operations();
  if (!lock) {
    return tl::unexpected{lock.error()};
  }
  operations_.assert_held(); // by `lock`
  const bool held = std::exchange(hold_, nullptr) != nullptr;
  if (auto resumed = api_ ? api_->resume() : Result<void>{}; !resumed) {
    return tl::unexpected{std::move(resumed.error())};
  }
  auto now = status();
  if (now && !now->running && !held) {
    return fail(ErrorKind::unsupported, kOrigin,
                "the program of this VM has paused it; resume it there, such as by its API");
  }
  return now;
}

} // namespace vmemfs::kvm
