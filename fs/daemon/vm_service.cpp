// SPDX-License-Identifier: MIT
#include "fs/daemon/vm_service.h"

#include "core/one_line.h"
#include "core/text.h"
#include "drivers/all_drivers.h"
#include "util/log.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <fmt/format.h>
#include <latch>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// Threads for work that may wait for a driver. More are started when all have a job, so that as many VMs may
/// hang, as each VM occupies one.
constexpr unsigned kJobThreads = 4;
constexpr unsigned kMaxJobThreads = 64;
/// Threads that resume VMs at the end, each one VM.
constexpr unsigned kMaxResumeThreads = 64;
/// Number of sequential readers, of different VMs, that can use a second CPU at the same time.
constexpr unsigned kPrefetchThreads = 2;
/// Number of slow driver calls for prefetching at the same time.
constexpr unsigned kSlowPrefetchThreads = 6;

std::vector<VmFinder::Source> discoveries(const MountOptions& options, const DriverRuntimes& runtimes) {
  std::vector<VmFinder::Source> sources;
  for (const VmSpec& spec : options.discoveries) {
    if (auto discovery = open_discovery(spec, &runtimes)) {
      sources.push_back({spec.driver, std::move(*discovery)});
    } else {
      log::error("{}", discovery.error().message());
    }
  }
  for (const DriverType* const type : all_drivers()) {
    const bool wanted = options.discover && options.discoveries.empty() && type->available();
    auto discovery = wanted ? type->discovery({}, runtimes.of(*type)) : nullptr;
    if (discovery != nullptr) {
      sources.push_back({std::string{type->name()}, std::move(discovery)});
    }
  }
  return sources;
}

} // namespace

VmService::VmService(const MountOptions& options, const DriverRuntimes& runtimes)
    : options_{options}, jobs_{kJobThreads, kMaxJobThreads}, prefetch_jobs_{kPrefetchThreads},
      slow_prefetch_jobs_{kSlowPrefetchThreads}, cache_budget_{options.cache_size},
      registry_{{.notifier = notifier_,
                 .jobs = jobs_,
                 .prefetch_jobs = prefetch_jobs_,
                 .slow_prefetch_jobs = slow_prefetch_jobs_,
                 .cache_budget = cache_budget_,
                 .guard = &guardian_,
                 .events = &events_}},
      context_{watcher_, jobs_, &runtimes, options.for_others()},
      attacher_{[this](const VmSpec& spec) {
                  warn_of_mode(spec);
                  return open_driver(spec, context_);
                },
                registry_, options.vm_options},
      finder_{discoveries(options, runtimes),
              options.wanted,
              attacher_,
              {.refusal = [this](const Refusal& refusal) { report_refusal(refusal); },
               .discovery_error = [this](const DiscoveryError& error) { report_discovery_error(error); },
               .refusals_left_out = [this](std::size_t count) { report_left_out(count); }},
              {}} {}

/// What the mode gives to other users, the kernel refuses without this option.
void VmService::warn_of_mode(std::string_view vm, const VmOptions& options) const {
  constexpr mode_t kOthers = 0066;
  if ((options.rights.mode & kOthers) != 0 && !options_.for_others()) {
    log::warning(
        "mode={:#o} of {} gives nobody else access, as the mount is without -o allow_other; only the "
        "user who mounted has it",
        options.rights.mode, printable(vm));
  }
}

/// Of the VM's own options.
void VmService::warn_of_mode(const VmSpec& spec) const {
  if (const auto said = Params::parse(spec.options, vm_option_specs()); said && said->has("mode")) {
    VmOptions options;
    set_options(*said, options);
    warn_of_mode(spec.name.empty() ? spec.driver : spec.name, options);
  }
}

VmService::~VmService() { end(); }

bool VmService::begin(std::chrono::milliseconds limit) {
  warn_of_mode("all VMs", options_.vm_options.general);
  for (const auto& [name, options] : options_.vm_options.by_name) {
    if (options.rights.mode != options_.vm_options.general.rights.mode) {
      warn_of_mode(name, options);
    }
  }
  bool good = true;
  for (const VmSpec& spec : options_.vms) {
    if (const auto vm = attacher_.attach(spec); !vm) {
      log::error("cannot attach {}: {}", spec.name.empty() ? spec.driver : spec.name, vm.error().message());
      good = false;
    }
  }
  if (good) {
    finder_.begin(limit);
  }
  return good;
}

void VmService::set_callbacks(const VmRegistry::Callbacks& callbacks) { registry_.set_callbacks(callbacks); }

/// At the same time, so that one that hangs delays no other one; those that are known to be paused first.
bool VmService::release_all() {
  auto vms = registry_.all();
  std::ranges::stable_partition(vms,
                                [](const auto& vm) { return vm->run_state().info().by == PausedBy::us; });
  std::latch released{static_cast<std::ptrdiff_t>(vms.size())};
  std::atomic<bool> good{true};
  Worker threads{1, kMaxResumeThreads};
  for (const auto& vm : vms) {
    threads.post([&] {
      if (!vm->run_state().release_at_end()) {
        good = false;
      }
      released.count_down();
    });
  }
  released.wait();
  return good;
}

bool VmService::end() {
  const bool good = release_all();
  finder_.stop();
  event_feed_->end();
  const bool all_good = release_all() && good; // what was attached or paused meanwhile
  prefetch_jobs_.stop();
  slow_prefetch_jobs_.stop();
  jobs_.stop();
  notifier_.stop();
  return all_good;
}

void VmService::report_refusal(const Refusal& refusal) {
  const std::string reason = one_line(refusal.reason);
  events_.append(EventKind::error, refusal.name, reason);
  const std::string number = refusal.number.empty() ? "" : " " + refusal.number;
  log::warning("cannot attach {}{} ({}): {}", refusal.driver, number, printable(refusal.name), reason);
}

void VmService::report_left_out(std::size_t count) {
  const std::string text =
      fmt::format("{} more VMs of other users cannot be attached and were not reported one "
                  "by one; .vmemfs/control has them all",
                  count);
  events_.append(EventKind::error, "", text);
  log::warning("{}", text);
}

void VmService::report_discovery_error(const DiscoveryError& error) {
  events_.append(EventKind::error, "",
                 fmt::format("cannot scan for VMs: {}: {}", error.driver, error.reason));
  log::warning("cannot scan for VMs: {}: {}", error.driver, error.reason);
}

} // namespace vmemfs
