// SPDX-License-Identifier: MIT
#include "drivers/kvm/kvm_driver.h"

#include "drivers/kvm/identity/vm_process.h"
#include "util/log.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <utility>

namespace vmemfs::kvm {
namespace {

/// A walk may miss a file that gets another number meanwhile, but hardly twice.
constexpr unsigned kMissingIsGone = 2;

WriteOutcome nothing_written(Error why) { return {0, std::move(why)}; }

Result<ListedVm> vm_of(const VmWalk& walk, pid_t pid, std::uint64_t index) {
  const auto vms = walk.list_of(pid);
  if (!vms) {
    return tl::unexpected{vms.error()};
  }
  if (vms->empty()) {
    return fail(ErrorKind::not_found, "kvm",
                fmt::format("process {} has no VM of KVM; 'vmemfs list' shows the VMs of this host", pid));
  }
  if (index >= vms->size()) {
    return fail(
        ErrorKind::not_found, "kvm",
        fmt::format("process {} has {} VMs, so vm= is at most {}", pid, vms->size(), vms->size() - 1));
  }
  return (*vms)[index];
}

} // namespace

KvmDriver::KvmDriver(std::shared_ptr<const KvmRuntime> runtime, const VmWalk& walk,
                     std::shared_ptr<const ProcessSpace> space, VmKey vm, VmIdentity identity, Worker& worker)
    : runtime_{std::move(runtime)}, walk_{walk}, space_{std::move(space)}, vm_{vm},
      identity_{std::move(identity)}, worker_{worker}, threads_{space_->pid()}, guest_{space_} {
  vcpus_.store(std::make_shared<const VcpuSet>());
}

Result<std::unique_ptr<KvmDriver>> KvmDriver::attach(pid_t pid, std::uint64_t index,
                                                     const DriverContext& context) {
  auto runtime = kvm_runtime(context.runtime);
  const auto walk = runtime->walk();
  if (!walk) {
    return tl::unexpected{walk.error()};
  }
  auto process = Process::open(pid);
  if (!process) {
    return tl::unexpected{std::move(process.error())};
  }
  auto space = ProcessSpace::open(std::make_shared<const Process>(std::move(*process)),
                                  context.for_others ? ProcessReaders::others : ProcessReaders::mounter);
  if (!space) {
    return tl::unexpected{std::move(space.error())};
  }
  const auto vm = vm_of(**walk, pid, index);
  if (!vm) {
    return tl::unexpected{vm.error()};
  }
  VmIdentity identity{name_of_process((*space)->process(), index), "", "kvm",
                      key_of_vm((*space)->process(), index)};
  std::unique_ptr<KvmDriver> driver{new KvmDriver{std::move(runtime), **walk, std::move(*space), vm->key,
                                                  std::move(identity), context.worker}};
  if (auto taken = driver->refresh(ProcessGuest::Mappings::renew); !taken) {
    return tl::unexpected{std::move(taken.error())};
  }
  if (driver->memory_map()->regions().empty()) {
    return fail(ErrorKind::busy, "kvm",
                fmt::format("the VM of process {} has no memory that can be read; if it is starting up, try "
                            "again in a moment",
                            pid));
  }
  if (auto watched = driver->watch(context); !watched) {
    return tl::unexpected{std::move(watched.error())};
  }
  return driver;
}

Result<void> KvmDriver::watch(const DriverContext& context) {
  auto watched = guest_.watch_end(context.watcher, [this] { listener_.emit(VmEvent::gone); });
  if (watched) {
    process_watch_ = context.watcher.watch_every_second([this] { poll(); });
  }
  return watched;
}

/// A vCPU has a thread, so that one which comes or goes, and the end of the VM, show there.
void KvmDriver::poll() {
  if (closed_) {
    guest_.end();
  } else if (threads_.changed() || missing_ > 0) {
    vcpus_due_ = true;
    refresh_later();
  }
}

void KvmDriver::poll_layout(bool missed) {
  if (poll_limit_.allows() || (missed && miss_limit_.allows())) {
    refresh_later();
  }
}

void KvmDriver::refresh_later() {
  if (refresh_pending_.exchange(true)) {
    return;
  }
  worker_.post([lease = lease_.share()] {
    lease.with([](KvmDriver& driver) {
      driver.refresh_pending_ = false;
      if (const auto refreshed = driver.refresh_if_changed(); !refreshed && !driver.gone()) {
        log::debug("kvm {}: refreshing the memory layout: {}", driver.space_->pid(),
                   refreshed.error().message());
      }
    });
  });
}

/// The slots tell by their generation. Mappings of the process may change without them, as when a balloon
/// replaces a part of a restored snapshot.
Result<void> KvmDriver::refresh_if_changed() {
  const auto vms = walk_.list_of(space_->pid());
  if (!vms) {
    return tl::unexpected{vms.error()};
  }
  const auto vm = std::ranges::find(*vms, vm_, &ListedVm::key);
  const auto memory = guest_.memory();
  const bool same = vm != vms->end() && memory != nullptr && memory->layout().stamp == vm->generation;
  if (same && !vcpus_due_.exchange(false) && !maps_limit_.allows()) {
    missing_ = 0;
    return {};
  }
  return refresh(ProcessGuest::Mappings::keep);
}

Result<void> KvmDriver::refresh(ProcessGuest::Mappings mappings) {
  const MutexLock lock{layout_mutex_};
  if (gone()) {
    return gone_error();
  }
  return take_layout(mappings);
}

Result<void> KvmDriver::take_layout(ProcessGuest::Mappings mappings) {
  const auto slots = walk_.slots_of(space_->pid(), vm_);
  if (!slots) {
    note_missing(slots.error());
    return gone() ? gone_error() : tl::unexpected{slots.error()};
  }
  missing_ = 0;
  const auto maps = read_maps(*space_); // also proves that the slots are of this program
  if (!maps) {
    return tl::unexpected{maps.error()};
  }
  auto made = layout_from_slots(slots->slots, *maps, slots->generation);
  if (!made) {
    return tl::unexpected{std::move(made.error())};
  }
  take_vcpus(slots->vcpus);
  const auto memory = guest_.memory();
  const bool same = memory != nullptr && memory->layout().ranges == made->layout.ranges;
  {
    const MutexLock lock{report_mutex_};
    left_out_ = std::move(made->left_out);
  }
  // With other mappings, the ways to the bytes are found again.
  const auto how = same ? mappings : ProcessGuest::Mappings::renew;
  return guest_.publish(std::move(made->layout), how).map([this](bool changed) {
    if (changed) {
      listener_.emit(VmEvent::layout_changed);
    }
  });
}

void KvmDriver::take_vcpus(const std::vector<ListedVcpu>& listed) {
  std::vector<VcpuId> ids;
  std::ranges::transform(listed, std::back_inserter(ids),
                         [](const ListedVcpu& vcpu) { return VcpuId{vcpu.id}; });
  auto vcpus = VcpuSet::of(std::move(ids), "kvm");
  if (vcpus && *vcpus != *vcpus_.load()) {
    vcpus_.store(std::make_shared<const VcpuSet>(std::move(*vcpus)));
    listener_.emit(VmEvent::vcpus_changed);
  }
}

/// A process may end its VM and live on.
void KvmDriver::note_missing(const Error& error) {
  if (error.kind == ErrorKind::not_found && ++missing_ >= kMissingIsGone) {
    closed_ = true; // the watcher's thread ends the rest
  }
}

WriteOutcome KvmDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  // With a stale layout it could go to memory that now serves another purpose.
  if (auto fresh = refresh_if_changed(); !fresh) {
    return nothing_written(gone() ? gone_error().value() : std::move(fresh.error()));
  }
  const auto memory = guest_.memory();
  if (memory == nullptr || gone()) {
    return nothing_written(gone_error().value());
  }
  WriteOutcome outcome = memory->write(*space_, gpa, bytes);
  return gone() ? nothing_written(gone_error().value()) : std::move(outcome);
}

tl::unexpected<Error> KvmDriver::gone_error() const {
  return fail(ErrorKind::vm_gone, "kvm", fmt::format("the VM of process {} has ended", space_->pid()));
}

AccessReport KvmDriver::access() const {
  AccessReport report;
  report.map = "KVM's memory slots, read by a BPF iterator, and again while the VM is read";
  {
    const MutexLock lock{report_mutex_};
    constexpr std::size_t kShown = 4;
    for (std::size_t i = 0; i < std::min(left_out_.size(), kShown); ++i) {
      report.map += fmt::format("; not there: {:#x}-{:#x}, {}", left_out_[i].range.begin.value(),
                                left_out_[i].range.end.value(), left_out_[i].why);
    }
    if (left_out_.size() > kShown) {
      report.map += fmt::format("; and {} more", left_out_.size() - kShown);
    }
  }
  report.ram = guest_.describe();
  report.registers = "none: this driver reads no registers yet";
  report.run_control = "none: this driver cannot pause yet";
  report.writes = fmt::format("from outside, through /proc/PID/mem of process {}", space_->pid());
  return report;
}

std::vector<ProbeResult> KvmDriver::probe() const {
  std::vector<ProbeResult> results = guest_.probe();
  const MutexLock lock{report_mutex_};
  for (const LeftOut& part : left_out_) {
    results.push_back(
        {fmt::format("memory slot at {:#x}-{:#x}", part.range.begin.value(), part.range.end.value()), false,
         part.why});
  }
  return results;
}

} // namespace vmemfs::kvm
