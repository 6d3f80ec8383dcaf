// SPDX-License-Identifier: MIT
// VMs of a mount with their workers: attaching, discovery, caching, events and the guardian. Independent of
// the FUSE session, except for EventFeed, which notifies those who poll its file.
#pragma once

#include "driver/driver_runtimes.h"
#include "driver/driver_type.h"
#include "fs/cli/options.h"
#include "fs/files/event_feed.h"
#include "fs/guardian/guardian.h"
#include "util/fd_watcher.h"
#include "util/worker.h"
#include "vm/cache/cache_budget.h"
#include "vm/discovery/attacher.h"
#include "vm/discovery/vm_finder.h"
#include "vm/event_log.h"
#include "vm/vm_registry.h"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace vmemfs {

class VmService {
public:
  /// Starts threads. Both arguments must outlive it.
  VmService(const MountOptions& options, const DriverRuntimes& runtimes);
  ~VmService(); ///< as end()
  VmService(const VmService&) = delete;
  VmService& operator=(const VmService&) = delete;

  /// Attaches the VMs that the options name, and starts discovery, which attaches and detaches VMs from now
  /// on. Returns when the VMs that run now are attached, or after `limit`. False if a VM that was named could
  /// not be attached: the log has all reasons.
  [[nodiscard]] bool begin(std::chrono::milliseconds limit);

  /// Sets the callbacks for changes of VMs. They are called until end(); see VmRegistry::Callbacks.
  void set_callbacks(const VmRegistry::Callbacks& callbacks);

  /// Resumes the VMs that vmemfs paused, stops attaching, answers waiting event reads; no callback is called
  /// afterwards. Waits for a VM that hangs: a caller who does not want to must be able to do without. False
  /// if a VM may stay paused: that is reported.
  bool end();

  [[nodiscard]] VmRegistry& registry() { return registry_; }
  [[nodiscard]] Attacher& attacher() { return attacher_; }
  [[nodiscard]] VmFinder& finder() { return finder_; }
  [[nodiscard]] EventLog& events() { return events_; }
  [[nodiscard]] FdWatcher& watcher() { return watcher_; }
  [[nodiscard]] EventFeed& event_feed() { return *event_feed_; }

private:
  void warn_of_mode(std::string_view vm, const VmOptions& options) const;
  void warn_of_mode(const VmSpec& spec) const;
  [[nodiscard]] bool release_all();
  void report_refusal(const Refusal& refusal);
  void report_left_out(std::size_t count);
  void report_discovery_error(const DiscoveryError& error);

  const MountOptions& options_;
  FdWatcher watcher_;
  /// More than one thread if the kernel waits for a page of a VM: others have to be notified of meanwhile.
  static constexpr unsigned kMaxNotifierThreads = 64;
  Worker notifier_{1, kMaxNotifierThreads}; ///< calls callbacks
  Worker jobs_;
  Worker prefetch_jobs_;
  Worker slow_prefetch_jobs_;
  EventLog events_;
  Guardian guardian_{watcher_, std::string{Guardian::kThisProgram},
                     [this](const std::string& text) { events_.append(EventKind::error, "", text); }};
  CacheBudget cache_budget_;
  const std::shared_ptr<EventFeed> event_feed_ = EventFeed::create(events_);
  VmRegistry registry_;
  const DriverContext context_;
  Attacher attacher_;
  VmFinder finder_;
};

} // namespace vmemfs
