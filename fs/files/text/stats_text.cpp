// SPDX-License-Identifier: MIT
#include "fs/files/text/stats_text.h"

#include "fs/files/text/process_stats.h"
#include "fs/files/text/prometheus_text.h"

#include <memory>
#include <vector>

namespace vmemfs {
namespace {

using Vms = std::vector<std::shared_ptr<Vm>>;
using Seconds = std::chrono::duration<double>;

MetricLabels labels_of(const Vm& vm, const VmIdentity& identity) {
  return {{"vm", vm.name()}, {"driver", identity.driver}};
}

/// A family with one sample for each VM.
struct VmMetric {
  std::string_view name;
  MetricType type;
  std::string_view help;
  std::uint64_t (*value)(Vm& vm);
};

constexpr VmMetric kVmMetrics[]{
    {"vmemfs_vm_memory_bytes", MetricType::gauge, "Main memory of the VM.",
     [](Vm& vm) { return vm.guest().memory().map()->ram_bytes(); }},
    {"vmemfs_vm_paused", MetricType::gauge, "1 if the VM is known to be paused, else 0.",
     [](Vm& vm) -> std::uint64_t { return vm.run_state().info().by == PausedBy::nobody ? 0 : 1; }},
    {"vmemfs_vm_writable", MetricType::gauge, "1 where writes are on, else 0.",
     [](Vm& vm) -> std::uint64_t { return vm.write_gate().writable() ? 1 : 0; }},
    {"vmemfs_reads_total", MetricType::counter, "Reads of files of guest memory, those that failed included.",
     [](Vm& vm) { return vm.guest().counters().reads.all.load(); }},
    {"vmemfs_read_failures_total", MetricType::counter, "Reads of files of guest memory that failed.",
     [](Vm& vm) { return vm.guest().counters().reads.failed.load(); }},
    {"vmemfs_read_bytes_total", MetricType::counter, "Bytes that reads of files of guest memory gave.",
     [](Vm& vm) { return vm.guest().counters().read_bytes.load(); }},
    {"vmemfs_writes_total", MetricType::counter, "Writes to mem and mem_padded, those that failed included.",
     [](Vm& vm) { return vm.guest().counters().writes.all.load(); }},
    {"vmemfs_write_failures_total", MetricType::counter,
     "Writes to mem and mem_padded of which nothing was written.",
     [](Vm& vm) { return vm.guest().counters().writes.failed.load(); }},
    {"vmemfs_written_bytes_total", MetricType::counter, "Bytes written to guest memory.",
     [](Vm& vm) { return vm.guest().counters().written_bytes.load(); }},
    {"vmemfs_register_reads_total", MetricType::counter, "Times that registers of a vCPU were asked for.",
     [](Vm& vm) { return vm.guest().counters().register_reads.all.load(); }},
    {"vmemfs_register_read_failures_total", MetricType::counter, "Times that registers could not be had.",
     [](Vm& vm) { return vm.guest().counters().register_reads.failed.load(); }},
    {"vmemfs_register_writes_total", MetricType::counter, "Times that registers were to be set.",
     [](Vm& vm) { return vm.guest().counters().register_writes.all.load(); }},
    {"vmemfs_register_write_failures_total", MetricType::counter,
     "Times that registers could not all be set.",
     [](Vm& vm) { return vm.guest().counters().register_writes.failed.load(); }},
    {"vmemfs_control_commands_total", MetricType::counter, "Well-formed commands to control.",
     [](Vm& vm) { return vm.guest().counters().control_commands.all.load(); }},
    {"vmemfs_control_command_failures_total", MetricType::counter, "Commands to control that failed.",
     [](Vm& vm) { return vm.guest().counters().control_commands.failed.load(); }},
    {"vmemfs_padded_bad_pages_total", MetricType::counter,
     "Times that a page the source refuses was read as zeros.",
     [](Vm& vm) { return vm.guest().memory().bad_pages().times_padded(); }},
    {"vmemfs_cache_hits_total", MetricType::counter, "Pages that were in the page cache.",
     [](Vm& vm) { return vm.cache().counts().hits; }},
    {"vmemfs_cache_misses_total", MetricType::counter, "Pages that had to be read into the page cache.",
     [](Vm& vm) { return vm.cache().counts().misses; }},
    {"vmemfs_cache_merged_total", MetricType::counter, "Pages that another reader was reading just then.",
     [](Vm& vm) { return vm.cache().counts().merged; }},
    {"vmemfs_cache_read_ahead_total", MetricType::counter,
     "Pages read before anybody asked for them, into the page cache or past it.",
     [](Vm& vm) { return vm.cache().counts().prefetched; }},
    {"vmemfs_cache_evictions_total", MetricType::counter, "Pages that left the page cache for others.",
     [](Vm& vm) { return vm.cache().stats().evictions; }},
    {"vmemfs_cache_used_bytes", MetricType::gauge, "Memory of the page cache in use.",
     [](Vm& vm) { return vm.cache().stats().used_bytes; }},
    {"vmemfs_cache_limit_bytes", MetricType::gauge, "Memory that the page cache may use.",
     [](Vm& vm) { return vm.cache().stats().limit_bytes; }},
    {"vmemfs_vm_kernel_cache_in_use", MetricType::gauge,
     "1 if memory that is opened now is read through the kernel's page cache, else 0.",
     [](Vm& vm) -> std::uint64_t { return vm.guest().kernel_cache_use() == KernelCacheUse::in_use ? 1 : 0; }},
    {"vmemfs_vm_linux_kept_bytes", MetricType::gauge,
     "Memory of what is kept of the VM's Linux kernel for the files of linux/.",
     [](Vm& vm) -> std::uint64_t {
       const auto kernel = vm.guest().linux_guest()->known();
       return kernel != nullptr ? kernel->bytes() : 0;
     }},
};

void add_vm_metrics(PrometheusText& out, const Vms& vms) {
  for (const VmMetric& metric : kVmMetrics) {
    out.family(metric.name, metric.type, metric.help);
    for (const auto& vm : vms) {
      out.sample(labels_of(*vm, vm->guest().identity()), metric.value(*vm));
    }
  }
}

void add_durations(PrometheusText& out, const MetricLabels& labels, const DurationHistogram& durations) {
  std::uint64_t count = 0;
  for (std::size_t bucket = 0; bucket <= DurationHistogram::kBounds; ++bucket) {
    count += durations.in_bucket(bucket);
    MetricLabels with_bound = labels;
    with_bound.push_back({"le", bucket == DurationHistogram::kBounds
                                    ? "+Inf"
                                    : fmt::format("{}", Seconds{DurationHistogram::bound(bucket)}.count())});
    out.sample(with_bound, count, "_bucket");
  }
  out.sample(labels, Seconds{durations.sum()}.count(), "_sum");
  out.sample(labels, count, "_count");
}

/// Of kernels that were found already: nothing is searched.
void add_kernels(PrometheusText& out, const Vms& vms) {
  out.family("vmemfs_vm_linux_info", MetricType::gauge,
             "1 for each VM whose Linux kernel was found; the label has its release.");
  for (const auto& vm : vms) {
    if (const auto kernel = vm->guest().linux_guest()->known()) {
      MetricLabels labels = labels_of(*vm, vm->guest().identity());
      labels.push_back({"release", kernel->kernel().info.release});
      out.sample(labels, 1);
    }
  }
}

void add_read_durations(PrometheusText& out, const Vms& vms) {
  out.family("vmemfs_read_duration_seconds", MetricType::histogram,
             "How long reads of files of guest memory took, from their arrival to the answer.");
  for (const auto& vm : vms) {
    add_durations(out, labels_of(*vm, vm->guest().identity()), vm->guest().counters().read_duration);
  }
}

void add_events(PrometheusText& out, const EventLog& events, const EventFeed& feed) {
  out.family("vmemfs_events_total", MetricType::counter, "Events, by their kind.");
  for (const EventKind kind : kEventKinds) {
    out.sample({{"event", std::string{to_string(kind)}}}, events.count(kind));
  }
  out.single("vmemfs_event_readers", MetricType::gauge, "Open handles of .vmemfs/events.", feed.readers());
  out.single("vmemfs_events_missed_total", MetricType::counter, "Events that readers were too slow for.",
             feed.missed());
}

void add_process(PrometheusText& out) {
  const auto process = process_stats();
  if (!process) {
    return; // an unknown value has no line
  }
  out.single("process_cpu_seconds_total", MetricType::counter, "CPU time of the daemon, user and system.",
             process->cpu_seconds);
  out.single("process_resident_memory_bytes", MetricType::gauge, "Memory of the daemon.",
             process->resident_bytes);
  out.single("process_open_fds", MetricType::gauge, "Open file descriptors of the daemon.",
             process->open_fds);
  out.single("process_threads", MetricType::gauge, "Threads of the daemon.", process->threads);
  out.single("process_start_time_seconds", MetricType::gauge,
             "When the daemon started, since the Unix epoch.", process->start_time_seconds);
}

} // namespace

std::string stats_text(const VmRegistry& registry, const EventLog& events, const EventFeed& feed) {
  const Vms vms = registry.all();
  PrometheusText out;
  out.family("vmemfs_build_info", MetricType::gauge, "1; the label tells the version.");
  out.sample({{"version", VMEMFS_VERSION}}, 1);
  out.single("vmemfs_vms", MetricType::gauge, "VMs that are mounted.", vms.size());
  add_vm_metrics(out, vms);
  add_kernels(out, vms);
  add_read_durations(out, vms);
  add_events(out, events, feed);
  add_process(out);
  return out.text();
}

} // namespace vmemfs
