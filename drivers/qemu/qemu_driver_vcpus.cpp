// SPDX-License-Identifier: MIT
// vCPUs come and go. QEMU reports that on a kept monitor only, and not when one is plugged in; so the threads
// of its process are checked once a second, and the monitor is queried if they have changed. Without a
// monitor the vCPUs are those of the command line.
#include "drivers/qemu/qemu_driver.h"
#include "util/log.h"
#include "util/worker.h"
#include "vmm/vcpu_activity.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::qemu {

/// False if QEMU did not answer.
bool QemuDriver::query_vcpus(const MonitorTime& time) {
  if (monitor_ == nullptr) {
    return true;
  }
  auto session = monitor_->session(time);
  return session && query_vcpus(*session);
}

/// Without an answer the last vCPUs stay, at first those of the command line. False if there was none; a
/// refusal is one.
bool QemuDriver::query_vcpus(MonitorSession& session) {
  const auto vcpus = session.vcpus();
  if (vcpus) {
    take_vcpus(*vcpus);
    return true;
  }
  if (!session.refused(vcpus.error())) {
    return false;
  }
  note("vCPU activity", false,
       fmt::format("{}; the number of vCPUs is that of the command line, and a resume by somebody else is "
                   "not noticed",
                   vcpus.error().text));
  return true;
}

/// Called with the monitor's session open, so one after the other.
void QemuDriver::take_vcpus(const std::vector<QemuVcpu>& vcpus) {
  std::vector<VcpuId> ids;
  std::vector<pid_t> threads;
  for (const QemuVcpu& vcpu : vcpus) {
    ids.push_back(vcpu.id);
    threads.push_back(vcpu.thread);
  }
  auto now = VcpuSet::of(std::move(ids), "qemu");
  if (now && *now != *vcpus_.load()) {
    vcpus_.store(std::make_shared<const VcpuSet>(std::move(*now)));
    listener_.emit(VmEvent::vcpus_changed);
  }
  auto activity = VcpuActivity::open(*qemu_.process, threads);
  if (!activity) {
    note("vCPU activity", false, activity.error().message());
    return;
  }
  note("vCPU activity", true,
       fmt::format("watched by the CPU time of {} threads", activity->threads().size()));
  if (idle_monitor_.watch(std::move(*activity))) {
    listener_.emit(VmEvent::state_unclear);
  }
}

/// Whether vCPUs may have come or gone since the last call. Other threads of QEMU begin and end too, such as
/// those that do its I/O, so in a machine without room for more vCPUs only those of vCPUs count.
bool QemuDriver::vcpus_may_differ() {
  if (!threads_.changed()) {
    return false;
  }
  const bool has_room = qemu_.command_line.more_vcpus || qemu_.command_line.reads_config ||
                        vcpus_.load()->size() < qemu_.command_line.vcpus;
  return has_room || !idle_monitor_.threads_exist();
}

/// Once a second, on the watcher's thread.
void QemuDriver::poll_vcpus() {
  constexpr unsigned kMaxDoublings = 6;
  if (vcpus_may_differ()) {
    vcpus_due_ = true;
  }
  if (!vcpus_due_ || gone()) {
    return;
  }
  if (vcpu_polls_to_skip_ > 0) { // a monitor that does not answer soon is queried less and less often
    --vcpu_polls_to_skip_;
    return;
  }
  vcpu_polls_to_skip_ = (1U << std::min<unsigned>(vcpu_query_failures_, kMaxDoublings)) - 1;
  query_vcpus_later();
}

void QemuDriver::query_vcpus_later() {
  if (vcpu_query_pending_.exchange(true)) {
    return;
  }
  worker_.post([lease = lease_.share()] {
    lease.with([](QemuDriver& driver) {
      constexpr std::chrono::milliseconds kSlow{250}; // so a slow one must not have a thread all the time
      const auto begin = std::chrono::steady_clock::now();
      driver.vcpus_due_ = false; // a change from here on needs another query
      const bool answered = driver.query_vcpus(MonitorTime{driver.options_.timeout});
      driver.vcpus_due_ = driver.vcpus_due_ || !answered;
      if (answered && std::chrono::steady_clock::now() - begin < kSlow) {
        driver.vcpu_query_failures_ = 0;
      } else {
        ++driver.vcpu_query_failures_;
      }
      driver.vcpu_query_pending_ = false;
    });
  });
}

} // namespace vmemfs::qemu
