// SPDX-License-Identifier: MIT
#include "drivers/kvm/kvm_driver.h"

#include "driver/kit/write_requests.h"
#include "drivers/kvm/vcpus/run_page.h"
#include "util/log.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <utility>

namespace vmemfs::kvm {
namespace {

/// A walk may miss a file that gets another number meanwhile, but hardly twice.
constexpr unsigned kMissingIsGone = 2;

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

Result<std::shared_ptr<const ProcessSpace>> space_of(pid_t pid, bool for_others) {
  return Process::open(pid).and_then([&](Process&& process) {
    return ProcessSpace::open(std::make_shared<const Process>(std::move(process)),
                              for_others ? ProcessReaders::others : ProcessReaders::mounter);
  });
}

Result<std::optional<VmmApi>> api_of(const KvmVm& vm) {
  if (vm.api.empty()) {
    return std::nullopt;
  }
  return VmmApi::open(vm.api, vm.pid).map([](VmmApi&& api) { return std::optional{std::move(api)}; });
}

} // namespace

KvmDriver::KvmDriver(std::shared_ptr<const KvmRuntime> runtime, const VmWalk& walk,
                     std::shared_ptr<const ProcessSpace> space, VmKey vm, VmIdentity identity,
                     std::optional<VmmApi> api, Worker& worker)
    : runtime_{std::move(runtime)}, walk_{walk}, space_{std::move(space)}, vm_{vm},
      identity_{std::move(identity)}, worker_{worker}, keeps_registers_{is_qemu(space_->process())},
      api_{api ? fmt::format("{} on {}", api->program(), api->socket()) : ""}, threads_{space_->pid()},
      control_{space_, std::move(api), [this] { find_vcpus(); }}, guest_{space_} {
  vcpus_.store(std::make_shared<const VcpuSet>());
}

Result<std::unique_ptr<KvmDriver>> KvmDriver::attach(const KvmVm& wanted, const DriverContext& context) {
  auto runtime = kvm_runtime(context.runtime);
  const auto walk = runtime->walk();
  if (!walk) {
    return tl::unexpected{walk.error()};
  }
  auto space = space_of(wanted.pid, context.for_others);
  if (!space) {
    return tl::unexpected{std::move(space.error())};
  }
  const auto vm = vm_of(**walk, wanted.pid, wanted.index);
  if (!vm) {
    return tl::unexpected{vm.error()};
  }
  auto api = api_of(wanted);
  if (!api) {
    return tl::unexpected{std::move(api.error())};
  }
  const Process& process = (*space)->process();
  VmIdentity identity{name_of_process(process, wanted.index), "", "kvm", key_of_vm(process, wanted.index)};
  std::unique_ptr<KvmDriver> driver{new KvmDriver{std::move(runtime), **walk, std::move(*space), vm->key,
                                                  std::move(identity), std::move(*api), context.worker}};
  auto ready = driver->refresh(ProcessGuest::Mappings::renew)
                   .and_then([&] { return driver->check_memory(); })
                   .and_then([&] { return driver->watch(context); });
  if (!ready) {
    return tl::unexpected{std::move(ready.error())};
  }
  return driver;
}

Result<void> KvmDriver::check_memory() const {
  if (!memory_map()->regions().empty()) {
    return {};
  }
  return fail(ErrorKind::busy, "kvm",
              fmt::format("the VM of process {} has no memory that can be read; if it is starting up, try "
                          "again in a moment",
                          space_->pid()));
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
  take_vcpus(slots->vcpus, *maps);
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

void KvmDriver::take_vcpus(const std::vector<ListedVcpu>& listed, const std::vector<Vma>& maps) {
  std::vector<VcpuId> ids;
  std::vector<VcpuThread> threads;
  for (const ListedVcpu& vcpu : listed) {
    ids.emplace_back(vcpu.id);
    threads.push_back({VcpuId{vcpu.id}, vcpu.thread, run_page_of(vcpu.id, maps)});
  }
  control_.set_vcpus(std::move(threads));
  auto vcpus = VcpuSet::of(std::move(ids), "kvm");
  if (vcpus && *vcpus != *vcpus_.load()) {
    vcpus_.store(std::make_shared<const VcpuSet>(std::move(*vcpus)));
    listener_.emit(VmEvent::vcpus_changed);
  }
}

/// A vCPU has begun to run, or another thread runs it now.
void KvmDriver::find_vcpus() {
  if (const auto found = refresh(ProcessGuest::Mappings::keep); !found && !gone()) {
    log::debug("kvm {}: finding the vCPUs' threads: {}", space_->pid(), found.error().message());
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
  report.registers =
      "KVM's registers of a vCPU whose thread is stopped for some 20 us (ptrace); without MSRs but "
      "EFER and without debug registers";
  report.run_control =
      !api_.empty()
          ? "by the API of " + api_
          : "the threads of the vCPUs are held (ptrace), and run again when vmemfs ends; devices and "
            "the guest's clock go on";
  if (!finds_threads_) {
    constexpr std::string_view kWhy =
        "none: the threads of the vCPUs cannot be found from within a pid namespace (a container)";
    report.registers = kWhy;
    report.run_control = kWhy;
  }
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
