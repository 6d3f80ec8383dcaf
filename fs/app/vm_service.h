// SPDX-License-Identifier: MIT
// The VMs of a mount, and all that keeps them going: what attaches them, looks out for them, caches them,
// lets them run again. Knows nothing of FUSE.
#pragma once

#include "driver/driver_type.h"
#include "fs/app/guardian.h"
#include "fs/app/options.h"
#include "fs/files/event_readers.h"
#include "util/fd_watcher.h"
#include "util/worker.h"
#include "vm/attacher.h"
#include "vm/cache_budget.h"
#include "vm/event_log.h"
#include "vm/vm_finder.h"
#include "vm/vm_registry.h"

#include <chrono>
#include <memory>

namespace vmemfs {

class VmService {
public:
  /// Starts threads. `options` must outlive it.
  explicit VmService(const MountOptions& options);
  ~VmService(); ///< as end()
  VmService(const VmService&) = delete;
  VmService& operator=(const VmService&) = delete;

  /// What was named, and then what is found; the latter comes and goes from here on. What is there now is
  /// there when this returns, except what takes longer than `limit`. False where one that was named could not
  /// be attached: all such are logged.
  [[nodiscard]] bool begin(std::chrono::milliseconds limit);

  /// Who wants to be told of what happens to VMs. Called one at a time, until end().
  void set_callbacks(const VmRegistry::Callbacks& callbacks);

  /// No VM comes any more, those that we paused run again, nobody waits for events, no callback is called.
  void end();

  [[nodiscard]] VmRegistry& registry() { return registry_; }
  [[nodiscard]] Attacher& attacher() { return attacher_; }
  [[nodiscard]] VmFinder& finder() { return finder_; }
  [[nodiscard]] EventLog& events() { return events_; }
  [[nodiscard]] EventReaders& event_readers() { return *event_readers_; }

private:
  void report_refusal(const Refusal& refusal);
  void report_discovery_error(const DiscoveryError& error);

  const MountOptions& options_;
  FdWatcher watcher_;
  Worker notifier_; ///< calls callbacks
  Worker jobs_;
  Worker prefetch_jobs_;
  Worker slow_prefetch_jobs_;
  Guardian guardian_{watcher_};
  CacheBudget cache_budget_;
  EventLog events_;
  const std::shared_ptr<EventReaders> event_readers_ = EventReaders::create(events_);
  VmRegistry registry_;
  const DriverContext context_{watcher_, jobs_};
  Attacher attacher_;
  VmFinder finder_;
};

} // namespace vmemfs
